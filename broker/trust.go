package broker

import (
	"crypto"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
)

// Signers is the [broker.signers] table: whose signature on a token counts in a fleet that
// has no organization issuer.
type Signers struct {
	Server []string // hex ed25519 public keys, or paths of PEM files
	Client []string

	keys choria.Signers
}

// Keys lists the keys of [broker.signers].
func (s *Signers) Keys() []config.Key {
	return []config.Key{
		{Name: "server", Value: config.Strings(&s.Server), Help: "keys that sign tokens of nodes: hex ed25519, or paths of PEM files"},
		{Name: "client", Value: config.Strings(&s.Client), Help: "keys that sign tokens of clients, in the same way"},
	}
}

// Validate reads the keys.
func (s *Signers) Validate(check *config.Check) {
	s.keys = choria.Signers{Server: signerKeys(check, "server", s.Server), Client: signerKeys(check, "client", s.Client)}
}

func (s *Signers) enabled() bool { return len(s.Server)+len(s.Client) > 0 }

func signerKeys(check *config.Check, name string, texts []string) []crypto.PublicKey {
	var keys []crypto.PublicKey
	for _, text := range texts {
		key, err := signerKey(text)
		if err != nil {
			check.Problem(name, "%.80q: %s", text, err)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// signerKey takes hex, and else the path of a file.
func signerKey(text string) (crypto.PublicKey, error) {
	if key, err := choria.PublicKey(text); err == nil {
		return key, nil
	}
	content, err := os.ReadFile(text)
	if err != nil {
		return nil, fmt.Errorf("neither 64 hex characters of an ed25519 public key nor a file that can be read")
	}
	return choria.SignerKey(string(content))
}

// Roles is the [broker.roles] table: patterns of the names in certificates. Who matches
// none is a node.
type Roles struct {
	Admin       []string
	Client      []string
	Streams     []string // nodes that may use key-value buckets and governors
	Governor    []string
	ServiceHost []string
}

// Keys lists the keys of [broker.roles].
func (r *Roles) Keys() []config.Key {
	return []config.Key{
		{Name: "admin", Value: config.Strings(&r.Admin), Help: "names in certificates that may do everything; * is any text"},
		{Name: "client", Value: config.Strings(&r.Client), Help: "names in certificates of people and programs that manage the fleet; everyone else is a node"},
		{Name: "streams", Value: config.Strings(&r.Streams), Help: "nodes that may read key-value buckets and governors"},
		{Name: "governor", Value: config.Strings(&r.Governor), Help: "nodes that may enter governors; they must be in streams too"},
		{Name: "service_host", Value: config.Strings(&r.ServiceHost), Help: "nodes that host service agents"},
	}
}

// Validate tries the patterns.
func (r *Roles) Validate(check *config.Check) {
	for key, patterns := range map[string][]string{
		"admin": r.Admin, "client": r.Client, "streams": r.Streams, "governor": r.Governor, "service_host": r.ServiceHost,
	} {
		for _, pattern := range patterns {
			if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
				check.Problem(key, `%q is no pattern; * is any text, ? one character, [a-z] one of several`, pattern)
			}
		}
	}
}

// matches tells whether one of the patterns is that of the name.
func matches(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// System is the [broker.system] table: who may use the server's own account.
type System struct {
	User     string
	Password string
}

// Keys lists the keys of [broker.system].
func (s *System) Keys() []config.Key {
	return []config.Key{
		{Name: "user", Value: config.String(&s.User), Help: "user name of the system account; empty: nobody"},
		{Name: "password", Value: config.Secret(&s.Password), Help: "its password, or file:PATH"},
	}
}

// Validate wants both, or none.
func (s *System) Validate(check *config.Check) {
	if (s.User == "") != (s.Password == "") {
		check.Problem("", "give both user and password, or none")
	}
	if s.User == provisioner {
		check.Problem("user", "%q is the user of Choria's provisioner; choose another name", provisioner)
	}
}

// issuerKeys are the keys of [broker.issuers], which have been checked.
func (c *Config) issuerKeys() choria.Issuers {
	issuers := choria.Issuers{}
	for name, text := range c.Issuers {
		if key, err := choria.PublicKey(text); err == nil {
			issuers[name] = key
		}
	}
	return issuers
}

func checkIssuer(text string) error {
	_, err := choria.PublicKey(text)
	return err
}

// Tokens are those that the configuration trusts.
func (c *Config) Tokens() *choria.TokenVerifier {
	return choria.NewTokenVerifier(c.issuerKeys(), c.Signers.keys)
}

// wantsTokens tells whether nodes may come with tokens.
func (c *Config) wantsTokens() bool { return len(c.Issuers) > 0 || c.Signers.enabled() }

// AuthSummary says in words who may connect.
func (c *Config) AuthSummary() string {
	var who []string
	if c.TLS.enabled() && c.TLS.CA != "" {
		who = append(who, "certificates under "+c.TLS.CA)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Issuers)) {
		who = append(who, "tokens of "+name)
	}
	if c.Signers.enabled() {
		who = append(who, "tokens of signers")
	}
	if len(who) == 0 {
		return "anybody who reaches it"
	}
	return strings.Join(who, ", ")
}

// checkTrust refuses what contradicts itself.
func (c *Config) checkTrust(check *config.Check) {
	if len(c.Issuers) > 0 && c.Signers.enabled() {
		check.Problem("signers", "there are issuers too, and tokens are either under an organization or not; remove one of the two")
	}
	if c.TLS.enabled() && c.TLS.CA == "" && !c.wantsTokens() {
		check.Problem("tls.ca", "not given; without it, or [broker.issuers] for tokens, nobody could prove who they are")
	}
	for _, name := range c.Collectives {
		if !validToken(name) {
			check.Problem("collectives", "%q is no name of a collective; use A-Z, a-z, 0-9, _ and -", name)
		}
	}
	if len(c.Collectives) == 0 {
		check.Problem("collectives", `none; the usual one is "mcollective"`)
	}
	c.clientHosts = nil
	for _, host := range c.ClientHosts {
		prefix, err := parsePrefix(host)
		if err != nil {
			check.Problem("client_hosts", "%q is neither an address nor a network such as 10.1.0.0/16", host)
			continue
		}
		c.clientHosts = append(c.clientHosts, prefix)
	}
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		return prefix.Masked(), err
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Prefix(addr.BitLen())
}

// validToken tells whether a name can be one token of a subject, and no wildcard.
func validToken(name string) bool {
	return choria.CheckSender(name) == nil && !strings.Contains(name, ".")
}
