package broker

import (
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
)

// Signers is the [broker.signers] table: keys whose signature on a token is accepted in a
// fleet without an organization issuer.
type Signers struct {
	Server []SignerKey // sign tokens of nodes
	Client []SignerKey // sign tokens of clients
}

// SignerKey is a public key that signs tokens.
type SignerKey struct {
	Source string // as the configuration names it: hex ed25519, or the path of a PEM file
	Key    crypto.PublicKey
}

// ParseSignerKey returns the key that source holds in hex, or the key in the file source.
func ParseSignerKey(source string) (SignerKey, error) {
	if key, err := choria.PublicKey(source); err == nil {
		return SignerKey{source, key}, nil
	}
	content, err := os.ReadFile(source)
	if err != nil {
		return SignerKey{}, errors.New("is neither 64 hex characters of an ed25519 public key nor a file that can be read")
	}
	key, err := choria.SignerKey(string(content))
	if err != nil {
		return SignerKey{}, fmt.Errorf("holds no usable key: %w", err)
	}
	return SignerKey{source, key}, nil
}

// Keys lists the keys of [broker.signers].
func (s *Signers) Keys() []config.Key {
	return []config.Key{
		{Name: "server", Value: signerKeys(&s.Server),
			Help: "public keys that sign tokens of nodes (servers in Choria): hex ed25519, or paths of PEM files"},
		{Name: "client", Value: signerKeys(&s.Client),
			Help: "public keys that sign tokens of clients, in the same form"},
	}
}

func signerKeys(into *[]SignerKey) config.Value {
	return config.ParsedList(into, ParseSignerKey, func(k SignerKey) string { return k.Source })
}

// Validate has nothing to check between the keys.
func (s *Signers) Validate(*config.Check) {}

func (s *Signers) enabled() bool { return len(s.Server)+len(s.Client) > 0 }

func (s *Signers) keys() choria.Signers {
	return choria.Signers{Server: publicKeys(s.Server), Client: publicKeys(s.Client)}
}

func publicKeys(signers []SignerKey) []crypto.PublicKey {
	keys := make([]crypto.PublicKey, len(signers))
	for i, signer := range signers {
		keys[i] = signer.Key
	}
	return keys
}

// System is the [broker.system] table: a user of the server's system account.
type System struct {
	User     string // empty: the account cannot be used from outside
	Password string
}

// Keys lists the keys of [broker.system].
func (s *System) Keys() []config.Key {
	return []config.Key{
		{Name: "user", Value: config.String(&s.User), Help: "user name of the system account; empty: none"},
		{Name: "password", Value: config.Secret(&s.Password), Help: "password of the system account, or file:PATH"},
	}
}

// Validate requires both user and password, or neither.
func (s *System) Validate(check *config.Check) {
	if (s.User == "") != (s.Password == "") {
		check.Problem("", "give both user and password, or neither")
	}
	if s.User == provisioner {
		check.Problem("user", "%q is the user of Choria's provisioner; choose another name", provisioner)
	}
}

// Tokens returns a verifier of the tokens that the configuration trusts.
func (c *Config) Tokens() *choria.TokenVerifier {
	signers := c.Signers.keys()
	signers.Provisioning = publicKeys(c.Provisioning.SignerCert)
	return choria.NewTokenVerifier(c.Issuers, signers)
}

// acceptsTokens reports whether nodes and clients may connect with tokens.
func (c *Config) acceptsTokens() bool { return len(c.Issuers) > 0 || c.Signers.enabled() }

// VerifiesIdentities reports whether every node and client must prove its identity. Otherwise the
// broker is a lab, and a connection can call itself anything.
func (c *Config) VerifiesIdentities() bool {
	return c.TLS.Enabled() || c.TLS.CA != "" || c.acceptsTokens()
}

// AuthSummary returns, for people, which proofs of identity are accepted.
func (c *Config) AuthSummary() string {
	var accepted []string
	if c.TLS.Enabled() && c.TLS.CA != "" {
		accepted = append(accepted, "certificates signed by the CA in "+c.TLS.CA)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Issuers)) {
		accepted = append(accepted, "tokens of "+name)
	}
	if c.Signers.enabled() {
		accepted = append(accepted, "tokens of signers")
	}
	if c.Provisioning.Enabled() {
		accepted = append(accepted, "provisioning tokens")
	}
	if len(accepted) == 0 {
		return "every connection, without authentication"
	}
	return strings.Join(accepted, ", ")
}

// checkTrust reports settings that contradict each other.
func (c *Config) checkTrust(check *config.Check) {
	if len(c.Issuers) > 0 && c.Signers.enabled() {
		check.Problem("signers", "set issuers or signers, not both: tokens are either of an organization or not")
	}
	if c.TLS.Enabled() && c.TLS.CA == "" && !c.acceptsTokens() {
		check.Problem("tls.ca", "no CA is set; without a CA, or [broker.issuers] for tokens, "+
			"no connection could prove its identity")
	}
	if !c.TLS.Enabled() && c.TLS.CA != "" && !c.acceptsTokens() {
		check.Problem("tls.ca", "given without cert and key, so every connection could write messages that look "+
			"verified; give cert and key, or accept tokens, or remove ca")
	}
	if c.RevokedTokens != "" && !c.acceptsTokens() && !c.Provisioning.Enabled() {
		check.Problem("revoked_tokens", "given, but no token is accepted; set [broker.issuers] or [broker.signers]")
	}
	for _, name := range c.Collectives {
		if !validToken(name) {
			check.Problem("collectives", "%q is not a valid collective name; "+
				"use 1 to 255 of A-Z, a-z, 0-9, _ : @ = + and -", name)
		}
	}
	if !validToken(c.MainCollective) {
		check.Problem("main_collective", `%q is not a valid collective name; the usual one is "mcollective"`,
			c.MainCollective)
	}
}

// validToken reports whether a name can be one token of a subject, and is not a wildcard.
func validToken(name string) bool {
	return choria.CheckSender(name) == nil && !strings.Contains(name, ".")
}

func issuerKeys(into *choria.Issuers) config.Value {
	format := func(key ed25519.PublicKey) string { return hex.EncodeToString(key) }
	return config.ParsedPairs(into, choria.PublicKey, format)
}
