package broker

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/dial"
	"github.com/nats-io/nats-server/v2/server"
)

// Leafnodes is the [broker.leafnodes] table: links between this broker and those of other sites, over which clients of
// one site send requests to nodes of the other.
type Leafnodes struct {
	Listen      string // host:port; empty: leaf nodes are not accepted
	Advertise   string // host:port under which leaf nodes reach Listen; empty: Listen
	Compression string
	Peers       map[string]Crossing // by the name that the other side proves
	Remotes     map[string]*LeafRemote
}

// Crossing says what crosses a link, by what is at the other side.
type Crossing string

// What crosses a link.
const (
	CrossNodes   Crossing = "nodes"   // its nodes receive requests from here, and reply
	CrossClients Crossing = "clients" // its clients send requests here, and receive replies
	CrossBoth    Crossing = "both"
)

// The compression of a link.
const (
	compressionOff  = "off"
	compressionFast = "s2_fast"
)

const (
	// maxLeafSubscriptions is how many subscriptions may cross a link: one for each node, one for each agent in each
	// collective, and one for each client.
	maxLeafSubscriptions = 100_000
	// leafReconnect is how long a broken link waits until it is tried again.
	leafReconnect = server.DEFAULT_LEAF_NODE_RECONNECT
)

// sends reports whether requests from here cross to the other side.
func (c Crossing) sends() bool { return c == CrossNodes || c == CrossBoth }

// receives reports whether requests of the other side cross to here.
func (c Crossing) receives() bool { return c == CrossClients || c == CrossBoth }

// newLeafnodes returns the defaults: no links.
func newLeafnodes() Leafnodes {
	return Leafnodes{Compression: compressionOff, Peers: map[string]Crossing{}, Remotes: map[string]*LeafRemote{}}
}

// Keys lists the keys of [broker.leafnodes].
func (l *Leafnodes) Keys() []config.Key {
	return []config.Key{
		{Name: "listen", Value: config.String(&l.Listen),
			Help: `address and port where leaf nodes connect, such as "0.0.0.0:7422"; empty: none are accepted`},
		{Name: "advertise", Value: config.String(&l.Advertise),
			Help: "address and port under which leaf nodes reach this appliance; empty: those of listen"},
		{Name: "compression", Value: config.OneOf(&l.Compression, compressionOff, compressionFast),
			Help: "compression of the links that are accepted: off or s2_fast"},
		{Name: "peers", Value: config.ParsedPairs(&l.Peers, parseCrossing, func(c Crossing) string { return string(c) }),
			Help: "leaf nodes that are accepted, by the name in their certificate or token: " +
				"nodes (its nodes receive requests from here), clients (its clients send requests here) or both"},
		{Name: "remote", Value: config.NamedTables(l.Remotes, newLeafRemote),
			Help: "brokers to which this one connects as a leaf node"},
	}
}

// parseCrossing returns what crosses a link, from the word in the configuration.
func parseCrossing(text string) (Crossing, error) {
	switch c := Crossing(text); c {
	case CrossNodes, CrossClients, CrossBoth:
		return c, nil
	default:
		return "", fmt.Errorf("%q is not one of %s, %s, %s", text, CrossNodes, CrossClients, CrossBoth)
	}
}

// Validate reports peers that cannot be accepted. Config.checkLeafnodes reports the rest.
func (l *Leafnodes) Validate(check *config.Check) {
	for name := range l.Peers {
		if choria.CheckSender(name) != nil {
			check.Problem("peers."+name, "%q is not a valid name of a leaf node; "+
				"write the name in its certificate, or the identity in its token", name)
		}
	}
	if l.Advertise != "" {
		u := url.URL{Host: l.Advertise}
		if u.Hostname() == "" || u.Port() == "" || !dial.ValidPort(&u) {
			check.Problem("advertise", `%q is not a host and a port; write them as "hub.example.net:7422"`, l.Advertise)
		}
		if l.Listen == "" {
			check.Problem("advertise", "set, but listen is not, so no leaf node can connect; set listen, or remove the key")
		}
	}
	if l.Listen == "" && len(l.Peers) > 0 {
		check.Problem("listen", `not set, but leaf nodes are named in peers; set it to an address such as "0.0.0.0:7422", `+
			"or remove peers")
	}
}

// leafWarnings returns a sentence for a port to which no leaf node may connect.
func (c *Config) leafWarnings() []string {
	if c.Leafnodes.Listen == "" || len(c.Leafnodes.Peers) > 0 {
		return nil
	}
	return []string{"broker.leafnodes.listen is set, but no leaf node is named in broker.leafnodes.peers, so every one " +
		`is refused; name them, such as "collector1.ams.example.net" = "nodes"`}
}

// enabled reports whether there are links, accepted or made.
func (l *Leafnodes) enabled() bool { return l.Listen != "" || len(l.EnabledRemotes()) > 0 }

// EnabledRemotes returns the remotes that are enabled, sorted by name.
func (l *Leafnodes) EnabledRemotes() (remotes []*LeafRemote) {
	for _, name := range slices.Sorted(maps.Keys(l.Remotes)) {
		if r := l.Remotes[name]; r.Enabled {
			remotes = append(remotes, r)
		}
	}
	return remotes
}

// checkLeafnodes reports what depends on the rest of [broker]: links without protection on the network, and
// certificates that no key names.
func (c *Config) checkLeafnodes(check *config.Check) {
	const table = "leafnodes"
	if l := c.Leafnodes.Listen; l != "" {
		check.Listen(table+".listen", l, config.ListenRule{
			Example:     "0.0.0.0:7422",
			MayBePublic: c.TLS.Enabled(),
			Hint:        " and not encrypted; give certificates in [broker.tls], or listen on 127.0.0.1",
		})
	}
	remotes := c.Leafnodes.EnabledRemotes()
	for i, r := range remotes {
		prefix := table + ".remote." + r.Name + "."
		r.check(check, prefix, c)
		for _, other := range remotes[:i] {
			if r.identity(c.TLS) == other.identity(c.TLS) && slices.ContainsFunc(r.urls(), func(u string) bool {
				return slices.Contains(other.urls(), u)
			}) {
				check.Problem(prefix+"urls", "remote.%s has the same identity at the same broker, which keeps one link of each; "+
					"remove one of the two", other.Name)
			}
		}
	}
}

// leafURL returns the URL of the port for leaf nodes on an address.
func (c *Config) leafURL(address string) string {
	if c.TLS.Enabled() {
		return "tls://" + address
	}
	return plaintextScheme + "://" + address
}

// leafAddress returns where leaf nodes connect, as host:port, once Open has returned.
func (b *Broker) leafAddress() string {
	host, port := splitAddress(b.cfg.Leafnodes.Listen)
	if varz, err := b.srv.Varz(nil); err == nil {
		port = varz.LeafNode.Port
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// leafOptions sets the options of the server for leaf nodes.
func (b *Broker) leafOptions(o *server.Options) error {
	l := &b.cfg.Leafnodes
	if !l.enabled() {
		return nil
	}
	o.MaxSubs = maxLeafSubscriptions // the accounts have the limit of other connections, see newAccount
	o.LeafNode = server.LeafNodeOpts{
		ReconnectInterval: leafReconnect, DialTimeout: handshakeTimeout,
		AuthTimeout: handshakeTimeout.Seconds(), IsolateLeafnodeInterest: true,
		// A leaf node that does not read is ended: what waits for it is bounded by nothing else.
		WriteTimeout: server.WriteTimeoutPolicyClose,
	}
	if l.Listen != "" {
		o.LeafNode.Host, o.LeafNode.Port = splitAddress(l.Listen)
		o.LeafNode.Advertise = l.Advertise
		o.LeafNode.Compression.Mode = compressionMode(l.Compression)
		if b.cfg.TLS.Enabled() {
			o.LeafNode.TLSConfig = b.certs.serverConfig(b.auth.sockets.add)
			o.LeafNode.TLSTimeout = handshakeTimeout.Seconds()
		}
	}
	for _, r := range l.EnabledRemotes() {
		remote, err := r.options(b)
		if err != nil {
			return fmt.Errorf("broker.leafnodes.remote.%s: %w", r.Name, err)
		}
		o.LeafNode.Remotes = append(o.LeafNode.Remotes, remote)
	}
	return nil
}

// compressionMode returns the compression in NATS's words. NATS compresses if it is not told otherwise.
func compressionMode(word string) string {
	if word == compressionFast {
		return server.CompressionS2Fast
	}
	return server.CompressionOff
}
