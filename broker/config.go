package broker

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// Config is the [broker] table: where and how nodes connect.
type Config struct {
	Listen             string // host:port; empty: see ListenAddress
	Plaintext          bool   // Listen may be reachable from the network without TLS
	MaxConnections     int64
	MaxUnauthenticated int64         // connections that have not authenticated; 0: see unauthenticatedLimit
	MaxPerIdentity     int64         // connections of a node or client; 0: see identityLimit
	MaxPayload         int64         // bytes of the largest message
	PingInterval       time.Duration // of an idle connection
	Collectives        []string      // of nodes that connect with certificates; none: any
	MainCollective     string        // in whose inboxes nodes and clients with certificates receive replies
	DenyServers        bool          // no node may connect
	GovernorRelease    time.Duration // how long a node must be down before it loses its slots; 0: it does not
	ClientHosts        []netip.Prefix
	TLS                tlsfile.Files
	Issuers            choria.Issuers // public keys of organizations, by name
	Signers            Signers
	RevokedTokens      string // path of a list, see revocation.ParseTokens; empty: none
	Roles              Roles
	Sites              Sites // which edges forward, and for which sites; none: this appliance is not a hub
	Mappings           Mappings
	Leafnodes          Leafnodes
	System             System
	WebSocket          WebSocket
	Provisioning       Provisioning
}

// Default addresses: with TLS the broker listens on every address, without only on loopback.
const (
	networkListen = "0.0.0.0:4222"
	labListen     = "127.0.0.1:4222"
)

// DefaultConfig is a lab: without TLS it listens on loopback only.
func DefaultConfig() Config {
	return Config{
		MaxConnections: 65000,
		MaxPayload:     1 << 20,
		PingInterval:   30 * time.Second,
		MainCollective: "mcollective",
		Roles:          Roles{Client: []string{"*.mcollective", "*.choria"}},
		Leafnodes:      newLeafnodes(),
	}
}

// Keys lists the keys of [broker].
func (c *Config) Keys() []config.Key {
	return append([]config.Key{
		{Name: "listen", Value: config.String(&c.Listen), Help: "address and port where nodes connect; " +
			`default: "` + networkListen + `" with TLS, "` + labListen + `" without`},
		{Name: "plaintext", Value: config.Bool(&c.Plaintext),
			Help: "true: allow listen to name an address other than loopback without TLS"},
		{Name: "max_connections", Value: config.Int(&c.MaxConnections, 1, 1_000_000),
			Help: "maximum number of connections"},
		{Name: "max_unauthenticated", Value: config.Int(&c.MaxUnauthenticated, 0, 1_000_000),
			Help: "maximum number of connections that have not authenticated; " +
				"0: a tenth of max_connections, at least 100, and at most one for each MiB of memory"},
		{Name: "max_connections_per_identity", Value: config.Int(&c.MaxPerIdentity, 0, 1_000_000),
			Help: "maximum number of connections of one node or client, not of administrators; " +
				"0: one for each 64 MiB of memory, 8 to 100"},
		{Name: "max_payload", Value: config.Size(&c.MaxPayload, 1<<10, 64<<20),
			Help: "maximum size of a message, with its headers, on every connection"},
		{Name: "ping_interval", Value: config.Duration(&c.PingInterval, time.Second, time.Hour),
			Help: "how often an idle connection is pinged; it is closed after two unanswered pings"},
		{Name: "collectives", Value: config.Strings(&c.Collectives),
			Help: "collectives of nodes with certificates; empty: any. Tokens name their own"},
		{Name: "main_collective", Value: config.String(&c.MainCollective),
			Help: "main_collective of nodes and clients with certificates: they receive replies there"},
		{Name: "deny_servers", Value: config.Bool(&c.DenyServers),
			Help: "true: refuse all nodes (servers in Choria), admit only clients"},
		{Name: "client_hosts", Value: config.Prefixes(&c.ClientHosts),
			Help: "addresses and networks that clients may connect from; empty: any"},
		{Name: "governor_release", Value: config.DurationOr("off", &c.GovernorRelease, time.Second, 30*24*time.Hour),
			Help: "how long the fleet view must have shown a node as down before its slots in governors are freed, " +
				"although its job may still run; off: they are not freed"},
	}, c.peerKeys()...)
}

// peerKeys lists the keys that decide which connections are admitted, and as what.
func (c *Config) peerKeys() []config.Key {
	return []config.Key{
		{Name: "tls", Value: config.SubTable(&c.TLS), Help: "certificates"},
		{Name: "issuers", Value: issuerKeys(&c.Issuers),
			Help: "organization issuers of tokens by name: hex ed25519 public keys"},
		{Name: "signers", Value: config.SubTable(&c.Signers),
			Help: "signers of tokens in a fleet without organization issuer"},
		{Name: "revoked_tokens", Value: config.Path(&c.RevokedTokens),
			Help: "path of the list of revoked tokens; empty: none"},
		{Name: "roles", Value: config.SubTable(&c.Roles), Help: "roles of certificates, by patterns of their names"},
		{Name: "sites", Value: config.Pairs((*map[string]string)(&c.Sites), checkEdge),
			Help: "sites whose edges forward to this appliance: by site, the name in the edge's certificate, " +
				"or the identity in its token"},
		{Name: "mappings", Value: config.Pairs((*map[string]string)(&c.Mappings), anyText),
			Help: "where messages arrive, by the subject to which they are published: in the form of NATS, with wildcards " +
				"in the source, and $1 or {{wildcard(1)}} in the destination; see docs/security.md"},
		{Name: "provisioning", Value: config.SubTable(&c.Provisioning),
			Help: "how nodes without an identity get one from Choria's provisioner"},
		{Name: "leafnodes", Value: config.SubTable(&c.Leafnodes),
			Help: "links to brokers of other sites, for requests; see docs/leafnodes.md"},
		{Name: "system", Value: config.SubTable(&c.System), Help: "access to the server's system account"},
		{Name: "websocket", Value: config.SubTable(&c.WebSocket), Help: "a port for WebSocket"},
	}
}

// Validate reports a listener that would be open to the network without protection, and
// settings of trust that contradict each other.
func (c *Config) Validate(check *config.Check) {
	c.checkTrust(check)
	c.checkSites(check)
	c.checkWebSocket(check)
	c.checkMappings(check)
	c.checkProvisioning(check)
	c.checkLeafnodes(check)
	check.Listen("listen", c.ListenAddress(), config.ListenRule{
		Example:     labListen,
		MayBePublic: c.TLS.Enabled() || c.Plaintext,
		Hint: " and not encrypted; give certificates in [broker.tls], or listen on 127.0.0.1, " +
			"or set plaintext = true if that is intended",
	})
}

// ListenAddress returns Listen, or the default that depends on TLS.
func (c *Config) ListenAddress() string {
	switch {
	case c.Listen != "":
		return c.Listen
	case c.TLS.Enabled():
		return networkListen
	default:
		return labListen
	}
}

// Encrypted reports whether nodes connect with TLS.
func (c *Config) Encrypted() bool { return c.TLS.Enabled() }

// Loopback reports whether only this machine reaches the listener.
func (c *Config) Loopback() bool { return config.IsLoopback(c.ListenAddress()) }

// JetStream is the [jetstream] table: what the server may store.
type JetStream struct {
	MaxStorage   int64         // bytes on disk of all streams
	MaxMemory    int64         // bytes of all memory streams
	SyncInterval time.Duration // between two fsyncs; 0: before each ack, see SyncAlways
	Domain       string        // empty: none
}

// DefaultJetStream has room for twice the default streams.
func DefaultJetStream() JetStream {
	return JetStream{MaxStorage: 20 << 30, MaxMemory: 256 << 20, SyncInterval: time.Second}
}

// Keys lists the keys of [jetstream].
func (j *JetStream) Keys() []config.Key {
	return []config.Key{
		{Name: "max_storage", Value: config.Size(&j.MaxStorage, 1<<20, 1<<60), Help: "maximum size of all streams on disk"},
		{Name: "max_memory", Value: config.Size(&j.MaxMemory, 1<<20, 1<<50), Help: "maximum size of all memory streams"},
		{Name: "sync_interval", Value: config.DurationOr("always", &j.SyncInterval, 10*time.Millisecond, 10*time.Minute),
			Help: "how often stored messages are synced; a power failure may lose what was stored since the last sync; " +
				"always: each message before its ack, which is slow"},
		{Name: "domain", Value: config.String(&j.Domain), Help: "JetStream domain of linked sites; empty: none"},
	}
}

// SyncAlways reports whether each message is synced before its ack.
func (j *JetStream) SyncAlways() bool { return j.SyncInterval == 0 }

// syncInterval returns the interval for the server, which requires one.
func (j *JetStream) syncInterval() time.Duration {
	return cmp.Or(j.SyncInterval, DefaultJetStream().SyncInterval)
}

// Validate checks the domain. Whether the streams fit is checked with their declarations.
func (j *JetStream) Validate(check *config.Check) {
	if j.Domain != "" && !contract.ValidName(j.Domain) {
		check.Problem("domain", "%q is not a valid domain name; use A-Z, a-z, 0-9, _ and -", j.Domain)
	}
}
