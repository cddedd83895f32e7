package broker

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/dial"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/nats-io/nats-server/v2/server"
)

// LeafRemote is a [broker.leafnodes.remote.NAME] table: a broker to which this one connects as a leaf node.
type LeafRemote struct {
	Name        string
	Enabled     bool
	URLs        []string
	Allow       Crossing // what crosses; required
	Token       string   // Choria's token of this appliance at the other side, a JWT; it needs Seed
	Seed        string   // path of the ed25519 seed of the token
	TLS         tlsfile.ClientFiles
	Proxy       string // URL of an HTTP proxy; empty: none
	Compression string
}

func newLeafRemote(name string) *LeafRemote {
	return &LeafRemote{Name: name, Enabled: true, Compression: compressionOff}
}

// Keys lists the keys of [broker.leafnodes.remote.NAME].
func (r *LeafRemote) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&r.Enabled), Help: "connect to this broker"},
		{Name: "urls", Value: config.Strings(&r.URLs),
			Help: "URLs of the broker, such as tls://hub.example.net:7422 or wss://hub.example.net:443"},
		{Name: "allow",
			Value: config.OneOf((*string)(&r.Allow), string(CrossNodes), string(CrossClients), string(CrossBoth)),
			Help:  "nodes: its nodes receive requests from here; clients: its clients send requests here; both"},
		{Name: "token", Value: config.Secret(&r.Token), Help: "Choria token of this appliance at the broker; it needs seed"},
		{Name: "seed", Value: config.Path(&r.Seed), Help: "path of the ed25519 seed of the token"},
		{Name: "tls", Value: config.SubTable(&r.TLS),
			Help: "certificate of this appliance at the broker, and the CA of the broker; empty: those of [broker.tls]"},
		{Name: "proxy", Value: config.Secret(&r.Proxy),
			Help: "URL of an HTTP proxy, such as http://proxy.example.net:3128, or file:PATH; empty: none"},
		{Name: "compression", Value: config.OneOf(&r.Compression, compressionOff, compressionFast),
			Help: "compression of the link: off or s2_fast"},
	}
}

// Validate reports what keeps the link from being made.
func (r *LeafRemote) Validate(check *config.Check) {
	if !contract.ValidName(r.Name) {
		check.Problem("", "%q is not a valid name; use 1 to 64 of A-Z, a-z, 0-9, _ and -", r.Name)
	}
	if !r.Enabled {
		return
	}
	if len(r.URLs) == 0 {
		check.Problem("urls", `no URL is set; name the broker, such as urls = ["tls://hub.example.net:7422"]`)
	}
	if r.Allow == "" && !check.Found("allow") { // a word that is not valid is reported where it is read
		check.Problem("allow", "not set; write %q if its clients may send requests here, %q if its nodes receive requests "+
			"from here, or %q", CrossClients, CrossNodes, CrossBoth)
	}
	if (r.Token == "") != (r.Seed == "") {
		check.Problem("token", "token and seed are needed together")
	}
	for _, text := range r.URLs {
		if err := checkLeafURL(text); err != nil {
			check.Problem("urls", "%s", err)
		}
	}
	if slices.ContainsFunc(r.URLs, isWebSocket) && slices.ContainsFunc(r.URLs, isNotWebSocket) {
		check.Problem("urls", "wss:// and tls:// are mixed; name URLs of one kind")
	}
	if r.Proxy != "" {
		if _, err := parseLeafProxy(r.Proxy); err != nil {
			check.Problem("proxy", "%s", err)
		}
	}
}

// leafPort is the port for leaf nodes if a URL names none.
const leafPort = "7422"

// plaintextScheme is the scheme of links without TLS, which are for a lab.
const plaintextScheme = "nats"

// checkLeafURL returns an error for a URL that cannot be that of a broker which accepts leaf nodes.
func checkLeafURL(text string) error {
	u, err := url.Parse(text)
	valid := err == nil && u.Hostname() != "" && dial.ValidPort(u)
	if !valid || !slices.Contains([]string{"tls", "wss", plaintextScheme}, u.Scheme) {
		return fmt.Errorf("%q is not a valid URL of a broker; write it as tls://hub.example.net:7422 or "+
			"wss://hub.example.net:443", text)
	}
	if u.User != nil {
		return fmt.Errorf("%q has a user; use the keys token and seed", u.Redacted())
	}
	if u.Scheme == plaintextScheme && !config.IsLoopback(u.Host) {
		return fmt.Errorf("%q is not encrypted, and not on this machine; write tls:// or wss://", text)
	}
	return nil
}

// parseLeafProxy reads the URL of a proxy. NATS uses no user without a password.
func parseLeafProxy(text string) (*url.URL, error) {
	u, err := dial.ParseProxy(text)
	if err != nil || u.User == nil {
		return u, err
	}
	if password, _ := u.User.Password(); password == "" || u.User.Username() == "" {
		return nil, errors.New("the URL of the proxy has a user or a password alone; it needs both")
	}
	return u, nil
}

// urls returns the URLs, each with a port: without one, NATS would use that of leaf nodes for WebSocket, too.
func (r *LeafRemote) urls() []string {
	list := slices.Clone(r.URLs)
	for i, text := range list {
		u, err := url.Parse(text)
		if err != nil || u.Port() != "" {
			continue // Validate reports what cannot be parsed
		}
		port := leafPort
		if isWebSocket(text) {
			port = "443"
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
		list[i] = u.String()
	}
	return list
}

// identity returns what this appliance proves its name with at the broker: a token, or the path of a certificate.
func (r *LeafRemote) identity(own tlsfile.Files) string {
	if r.Token != "" {
		return r.Token
	}
	return r.TLS.Or(own).Cert
}

func isWebSocket(text string) bool    { return strings.HasPrefix(text, "wss://") }
func isNotWebSocket(text string) bool { return !isWebSocket(text) }

// check reports credentials that are missing. prefix is that of its keys in [broker].
func (r *LeafRemote) check(check *config.Check, prefix string, c *Config) {
	if r.encrypted() && r.Token == "" && !r.TLS.Or(c.TLS).Enabled() {
		check.Problem(prefix+"tls", "there is neither a certificate nor a token for the broker; "+
			"set token and seed, or cert and key here or in [broker.tls]")
	}
}

// CheckFiles returns an error if the token, or the seed, a certificate, a key or a CA of the link cannot be used. The
// files are those of the broker, which are used unless the configuration names others.
func (r *LeafRemote) CheckFiles(broker tlsfile.Files) error {
	if r.Token != "" {
		if _, err := r.readSeed(); err != nil {
			return err
		}
	}
	if !r.encrypted() {
		return nil
	}
	_, err := r.TLS.Or(broker).Load()
	return err
}

// readSeed returns the key of the token.
func (r *LeafRemote) readSeed() (ed25519.PrivateKey, error) {
	key, err := choria.ReadSeed(r.Seed)
	if err != nil {
		return nil, err
	}
	return key, choria.CheckTokenKey(strings.TrimSpace(r.Token), key)
}

// encrypted reports whether the link uses TLS.
func (r *LeafRemote) encrypted() bool {
	return slices.ContainsFunc(r.URLs, func(text string) bool { return !strings.HasPrefix(text, plaintextScheme+"://") })
}

// options returns the options of the link for the server.
func (r *LeafRemote) options(b *Broker) (*server.RemoteLeafOpts, error) {
	crossing := b.crossingOf(r.Allow)
	o := &server.RemoteLeafOpts{
		LocalAccount: leafAccount("remote", r.Name), NoRandomize: true, IgnoreDiscoveredServers: true,
		DenyImports: crossing.denied, DenyExports: crossing.denied,
	}
	o.Compression.Mode = compressionMode(r.Compression)
	user := ""
	switch {
	case r.Token != "":
		key, err := r.readSeed()
		if err != nil {
			return nil, err
		}
		user = strings.TrimSpace(r.Token)
		o.SignatureCB = func(nonce []byte) (string, []byte, error) { return "", ed25519.Sign(key, nonce), nil }
	case !r.encrypted():
		user = b.opts.Name // what it is in a lab
	}
	if r.encrypted() {
		config, err := r.tlsConfig(b.cfg.TLS)
		if err != nil {
			return nil, err
		}
		o.TLSConfig, o.TLSTimeout = config, handshakeTimeout.Seconds()
	}
	for _, text := range r.urls() {
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		if user != "" { // NATS also presents a user without a password as a token
			u.User = url.User(user)
		}
		o.URLs = append(o.URLs, u)
	}
	return o, r.useProxy(o)
}

// useProxy makes the link go through the proxy, if there is one.
func (r *LeafRemote) useProxy(o *server.RemoteLeafOpts) error {
	if r.Proxy == "" {
		return nil
	}
	u, err := parseLeafProxy(r.Proxy)
	if err != nil {
		return err
	}
	o.Proxy.Username = u.User.Username()
	o.Proxy.Password, _ = u.User.Password()
	u.User = nil
	o.Proxy.URL, o.Proxy.Timeout = u.String(), handshakeTimeout
	return nil
}
