package forward

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/dial"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// Config is a [forward.NAME] table: one hub, and what is forwarded to it.
type Config struct {
	Name        string
	Enabled     bool
	Servers     []string // URLs of the hub
	User        string   // empty: the identity of the appliance
	Password    string
	Token       string // Choria's token of the edge, a JWT; it needs Seed
	Seed        string // path of the ed25519 seed of the token
	Credentials string // path of a NATS credentials file
	Proxy       string // URL of an HTTP proxy, with its password; empty: connections are direct
	TLS         tlsfile.ClientFiles
	Window      int64 // messages that are published and have no ack yet
	Rate        int64 // bytes per second of data; 0: no limit
	Hours       []Hours
	Paused      bool // data is not forwarded
	Heartbeat   time.Duration
	Streams     map[string]*Stream
}

// Modes of a forwarded stream.
const (
	ModeAll     = "all"     // every message
	ModeChanged = "changed" // registrations whose facts changed, and a full copy of each node every interval
	ModeSampled = "sampled" // at most one registration of each node in an interval
)

// Values of Stream.Catchup.
const (
	CatchupLast = "last" // after a cut, only the last message of each subject
	CatchupAll  = "all"
)

// Stream is a [forward.NAME.stream.NAME] table: a stream that is forwarded.
type Stream struct {
	Name     string
	Enabled  bool
	Mode     string
	Interval time.Duration
	Catchup  string
	MaxAge   time.Duration // 0: no limit
	Subject  string        // at the hub; %s stands for the site, and ">" for the subject at the edge
}

// DefaultSubject is where a message is published at the hub. In front of what other sites forwarded it is not added
// again.
const DefaultSubject = contract.SubjectSites + "%s.>"

// NewStream returns the defaults of a forwarded stream.
func NewStream(name string) *Stream {
	return &Stream{
		Name: name, Enabled: true, Mode: ModeAll, Interval: time.Hour, Catchup: CatchupAll, Subject: DefaultSubject,
	}
}

// NewConfig returns the defaults for a hub: registrations and the events of the fleet view are forwarded.
func NewConfig(name string) *Config {
	registrations := NewStream(contract.StreamRegistration)
	registrations.Mode, registrations.Catchup = ModeChanged, CatchupLast
	events := NewStream(contract.StreamFleet)
	return &Config{
		Name: name, Enabled: true, Window: 1024, Heartbeat: 30 * time.Second,
		Streams: map[string]*Stream{registrations.Name: registrations, events.Name: events},
	}
}

// Keys lists the keys of [forward.NAME].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&c.Enabled), Help: "forward to this hub"},
		{Name: "servers", Value: config.Strings(&c.Servers),
			Help: "URLs of the hub, such as tls://hub.example.net:4222 or wss://hub.example.net"},
		{Name: "user", Value: config.String(&c.User), Help: "user name at the hub; empty: the identity of this appliance"},
		{Name: "password", Value: config.Secret(&c.Password), Help: "password at the hub"},
		{Name: "token", Value: config.Secret(&c.Token), Help: "Choria token of this appliance at the hub; it needs seed"},
		{Name: "seed", Value: config.Path(&c.Seed), Help: "path of the ed25519 seed of the token"},
		{Name: "credentials", Value: config.Path(&c.Credentials), Help: "path of a NATS credentials file"},
		{Name: "proxy", Value: config.Secret(&c.Proxy),
			Help: "HTTP proxy to the hub, such as http://user:password@proxy.example.net:3128; empty: none"},
		{Name: "tls", Value: config.SubTable(&c.TLS),
			Help: "certificate of this appliance at the hub, and the CA of the hub; empty: those of [broker.tls]"},
		{Name: "window", Value: config.Int(&c.Window, 1, 65536), Help: "messages that wait for an ack of the hub"},
		{Name: "rate", Value: config.SizeOr("unlimited", &c.Rate, 1<<10, 1<<40),
			Help: "bytes per second; events and heartbeats are not limited"},
		{Name: "hours", Value: config.ParsedList(&c.Hours, ParseHours, Hours.String),
			Help: `times of day in which data is forwarded, such as "22:00-06:00"; empty: always. ` +
				"Events and heartbeats are always forwarded"},
		{Name: "paused", Value: config.Bool(&c.Paused), Help: "true: forward only events and heartbeats"},
		{Name: "heartbeat", Value: config.Duration(&c.Heartbeat, time.Second, time.Hour),
			Help: "how often the hub is told about this site"},
		{Name: "stream", Value: config.NamedTables(c.Streams, NewStream), Help: "streams that are forwarded"},
	}
}

// Validate reports what keeps the forwarder from running.
func (c *Config) Validate(check *config.Check) {
	if !contract.ValidName(c.Name) {
		check.Problem("", "%q is not a valid name; use 1 to 64 of A-Z, a-z, 0-9, _ and -", c.Name)
	}
	if !c.Enabled {
		return
	}
	if len(c.Servers) == 0 {
		check.Problem("servers", `no server is set; name the hub, such as servers = ["tls://hub.example.net:4222"]`)
	}
	for _, server := range c.Servers {
		if err := checkServer(server); err != nil {
			check.Problem("servers", "%s", err)
		} else if isWebSocket(server) != isWebSocket(c.Servers[0]) {
			check.Problem("servers", "%q and %q are of different kinds; write all with wss://, or none", c.Servers[0], server)
		}
	}
	if _, err := c.proxyURL(); err != nil {
		check.Problem("proxy", "%s", err)
	}
	if (c.Token == "") != (c.Seed == "") {
		check.Problem("token", "token and seed are needed together")
	}
}

// checkServer returns an error for a URL that the forwarder cannot connect to.
func checkServer(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" || !hasScheme(server, "nats", "tls", "ws", "wss") {
		return fmt.Errorf("%q is not a valid server; write a URL such as tls://hub.example.net:4222 or "+
			"wss://hub.example.net", server)
	}
	if u.User != nil {
		u.User = nil // it may have a password
		return fmt.Errorf("%q has a user; use the keys user and password", u)
	}
	return nil
}

// hasScheme reports whether the URL of a server has one of these schemes.
func hasScheme(server string, schemes ...string) bool {
	scheme, _, _ := strings.Cut(server, "://")
	return slices.Contains(schemes, strings.ToLower(scheme))
}

// isWebSocket reports whether the URL of a server is that of a WebSocket.
func isWebSocket(server string) bool { return hasScheme(server, "ws", "wss") }

// proxyURL returns the URL of the proxy; nil if connections are direct.
func (c *Config) proxyURL() (*url.URL, error) {
	if c.Proxy == "" {
		return nil, nil
	}
	return dial.ParseProxy(c.Proxy)
}

// Way says in words how the hub is reached: its servers, and the proxy without its password.
func (c *Config) Way() string {
	text := strings.Join(c.Servers, ", ")
	if proxy, err := c.proxyURL(); err == nil && proxy != nil {
		text += " through " + dial.ShowProxy(proxy)
	}
	return text
}

// Keys lists the keys of [forward.NAME.stream.NAME].
func (s *Stream) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&s.Enabled), Help: "false: the stream is not forwarded"},
		{Name: "mode", Value: config.OneOf(&s.Mode, ModeAll, ModeChanged, ModeSampled),
			Help: "all; changed: registrations whose facts changed, apart from fleet.volatile; " +
				"sampled: at most one registration of each node in an interval"},
		{Name: "interval", Value: config.Duration(&s.Interval, time.Second, maxInterval),
			Help: "changed: a full copy of each node at least so often; sampled: the interval"},
		{Name: "catchup", Value: config.OneOf(&s.Catchup, CatchupLast, CatchupAll),
			Help: "after a cut: last: only the last message of each subject; all"},
		{Name: "max_age", Value: config.DurationOr("unlimited", &s.MaxAge, time.Second, maxInterval),
			Help: "older messages are not forwarded"},
		{Name: "subject", Value: config.String(&s.Subject),
			Help: "subject at the hub: %s is the site, > the subject at this appliance"},
	}
}

// maxInterval is the longest time that a key may have.
const maxInterval = 365 * 24 * time.Hour

// Validate reports a subject at which messages could not be told apart.
func (s *Stream) Validate(check *config.Check) {
	if !contract.ValidName(s.Name) {
		check.Problem("", "%q is not a valid name; use 1 to 64 of A-Z, a-z, 0-9, _ and -", s.Name)
	}
	if strings.Count(s.Subject, "%s") != 1 || strings.Count(s.Subject, "%") != 1 || !strings.HasSuffix(s.Subject, ".>") {
		check.Problem("subject", `%q is not valid; write %%s for the site, and end with .>, such as %q`,
			s.Subject, DefaultSubject)
	}
}
