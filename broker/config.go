package broker

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
)

// Config is the [broker] table: where nodes connect.
type Config struct {
	Listen         string
	Plaintext      bool
	MaxConnections int64
	MaxPayload     int64
	PingInterval   time.Duration
	Collectives    []string // of nodes that come with certificates
	DenyServers    bool
	ClientHosts    []string // addresses and networks; none: everywhere
	TLS            TLS
	Issuers        map[string]string // hex ed25519 public keys of organizations
	Signers        Signers
	Roles          Roles
	System         System

	clientHosts []netip.Prefix
}

// Where nodes connect when the configuration does not say: with TLS from everywhere, and
// without only from this machine.
const (
	openListen = "0.0.0.0:4222"
	labListen  = "127.0.0.1:4222"
)

// DefaultConfig is a lab: without TLS it listens on loopback only.
func DefaultConfig() Config {
	return Config{
		MaxConnections: 65000,
		MaxPayload:     1 << 20,
		PingInterval:   30 * time.Second,
		Collectives:    []string{"mcollective"},
		Roles:          Roles{Client: []string{"*.mcollective", "*.choria"}},
	}
}

// Keys lists the keys of [broker].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "listen", Value: config.String(&c.Listen), Help: "address and port where nodes connect"},
		{Name: "plaintext", Value: config.Bool(&c.Plaintext), Help: "allow listen to go beyond loopback without TLS"},
		{Name: "max_connections", Value: config.Int(&c.MaxConnections, 1, 1_000_000), Help: "most connections at a time"},
		{Name: "max_payload", Value: config.Size(&c.MaxPayload, 1<<10, 64<<20), Help: "largest message that a node may send"},
		{Name: "ping_interval", Value: config.Duration(&c.PingInterval, time.Second, time.Hour),
			Help: "how often a silent connection is asked whether it lives; two unanswered pings end it"},
		{Name: "collectives", Value: config.Strings(&c.Collectives), Help: "collectives of nodes that come with certificates; tokens name theirs"},
		{Name: "deny_servers", Value: config.Bool(&c.DenyServers), Help: "true: no node may connect, only clients"},
		{Name: "client_hosts", Value: config.Strings(&c.ClientHosts), Help: "addresses and networks that clients may connect from; none: everywhere"},
		{Name: "tls", Value: config.Sub(&c.TLS), Help: "certificates"},
		{Name: "issuers", Value: config.Pairs(&c.Issuers, checkIssuer), Help: "organization issuers of tokens, by name: hex ed25519 public keys"},
		{Name: "signers", Value: config.Sub(&c.Signers), Help: "who signs tokens where there is no organization issuer"},
		{Name: "roles", Value: config.Sub(&c.Roles), Help: "what the holder of a certificate is, by patterns of its name"},
		{Name: "system", Value: config.Sub(&c.System), Help: "access to the server's own account"},
	}
}

// Validate refuses a listener that would be open to a network without protection. It also
// fills in where to listen, which depends on TLS.
func (c *Config) Validate(check *config.Check) {
	c.checkTrust(check)
	if c.Listen == "" && c.TLS.enabled() {
		c.Listen = openListen
	} else if c.Listen == "" {
		c.Listen = labListen
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		check.Problem("listen", "%q is not an address and a port; write them as %q", c.Listen, labListen)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		check.Problem("listen", "%q has no port from 0 to 65535", c.Listen)
		return
	}
	if !c.TLS.enabled() && !c.Plaintext && !loopback(host) {
		check.Problem("listen", "%q is open to the network and not encrypted; give certificates in [broker.tls], or listen on 127.0.0.1, or set plaintext = true if that is meant", c.Listen)
	}
}

// Encrypted tells whether nodes connect with TLS.
func (c *Config) Encrypted() bool { return c.TLS.enabled() }

// Loopback tells whether only this machine reaches the listener.
func (c *Config) Loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && loopback(host)
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// JetStream is the [jetstream] table: what the server may store.
type JetStream struct {
	MaxStorage   int64
	MaxMemory    int64
	SyncInterval time.Duration
	Domain       string
}

// DefaultJetStream has room for the default streams and as much again.
func DefaultJetStream() JetStream {
	return JetStream{MaxStorage: 20 << 30, MaxMemory: 256 << 20, SyncInterval: time.Second}
}

// Keys lists the keys of [jetstream].
func (j *JetStream) Keys() []config.Key {
	return []config.Key{
		{Name: "max_storage", Value: config.Size(&j.MaxStorage, 1<<20, 1<<60), Help: "most that all streams may take on disk"},
		{Name: "max_memory", Value: config.Size(&j.MaxMemory, 1<<20, 1<<50), Help: "most that memory streams may take"},
		{Name: "sync_interval", Value: config.Duration(&j.SyncInterval, 10*time.Millisecond, 10*time.Minute),
			Help: "how often what is stored is forced to the disk; a power cut may lose what came since"},
		{Name: "domain", Value: config.String(&j.Domain), Help: "JetStream domain, where sites are linked; empty for none"},
	}
}

// Validate checks the domain; what the streams need is checked where they are declared.
func (j *JetStream) Validate(check *config.Check) {
	if j.Domain != "" && !contract.ValidName(j.Domain) {
		check.Problem("domain", "%q is no name for a domain; use A-Z, a-z, 0-9, _ and -", j.Domain)
	}
}
