package adapter

import (
	"math"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
)

// Config is an [adapter.NAME] table. Its keys are those of Choria's adapters.
type Config struct {
	Name       string
	Enabled    bool
	Type       string        // jetstream or choria_streams
	QueueLen   int64         // maximum of pending messages; 0: only the buffer limits them
	Buffer     int64         // bytes; 0: derived from the memory of the machine or control group
	Verify     string        // one of the modes in verify.go
	BindSender string        // auto, true or false; see bind.go
	ClockSkew  time.Duration // if the clocks differ by more, the header Muster-Skew has the difference
	Ingest     Ingest
	Stream     Stream
}

// Ingest is an [adapter.NAME.ingest] table: where messages come from.
type Ingest struct {
	Topics   []string // subjects that do not overlap
	Protocol string   // request or reply
	Workers  int64    // messages converted in parallel; 0: the number of cores
}

// Stream is an [adapter.NAME.stream] table: where messages are published.
type Stream struct {
	Topic       string   // subject; %s stands for the sender
	Format      string   // choria or plain
	MaxUnpacked int64    // bytes; for plain
	Servers     []string // empty: this appliance
	User        string
	Password    string
	Credentials string // path of a file
}

// NewConfig returns the defaults of an adapter that has this name.
func NewConfig(name string) *Config {
	return &Config{
		Name: name, Enabled: true, Type: "jetstream", Verify: verifyAuto, BindSender: bindAuto,
		ClockSkew: 10 * time.Minute,
		Stream:    Stream{Topic: name, Format: "choria", MaxUnpacked: 1 << 20},
	}
}

// DefaultConfig returns the configuration of the adapter that collects registrations.
func DefaultConfig() *Config {
	c := NewConfig("registration")
	c.Ingest.Topics = []string{"*.broadcast.agent.registration", "choria.registration.>"}
	c.Ingest.Protocol = "request"
	c.Stream.Topic = contract.SubjectNodeMetadata + "%s"
	return c
}

// Keys lists the keys of [adapter.NAME].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&c.Enabled),
			Help: "run the adapter"},
		{Name: "type", Value: config.String(&c.Type),
			Help: "jetstream; choria_streams means the same"},
		{Name: "queue_len", Value: config.Int(&c.QueueLen, 0, math.MaxInt32),
			Help: "maximum number of pending messages; 0: limited by buffer alone"},
		{Name: "buffer", Value: config.SizeOr("auto", &c.Buffer, 1<<20, 1<<40),
			Help: "bytes received and not yet stored; " +
				"auto: memory/4 divided by the number of enabled adapters, at most 1GiB"},
		{Name: "verify", Value: config.OneOf(&c.Verify, verifyAuto, verifyRequire, verifyRecord, verifyOff),
			Help: "require rejects messages whose sender is not verified; record stores them with the reason; " +
				"auto is require if there is a CA, an issuer or a signer, otherwise record; off checks nothing"},
		{Name: "bind_sender", Value: config.BoolOr(bindAuto, &c.BindSender),
			Help: "true rejects messages that a connection publishes under another name than its own; " +
				"auto is true if nodes must prove their identity to the broker"},
		{Name: "clock_skew", Value: config.Duration(&c.ClockSkew, time.Second, 365*24*time.Hour),
			Help: "if the clocks differ by more, the header Muster-Skew has the difference"},
		{Name: "ingest", Value: config.SubTable(&c.Ingest),
			Help: "where messages come from"},
		{Name: "stream", Value: config.SubTable(&c.Stream),
			Help: "where messages are published"},
	}
}

// Validate reports what keeps an adapter from running.
func (c *Config) Validate(check *config.Check) {
	if !contract.ValidName(c.Name) {
		check.Problem("", "%q is not a valid name; use 1 to 64 of A-Z, a-z, 0-9, _ and -", c.Name)
	}
	switch c.Type {
	case "jetstream", "choria_streams":
	case "nats_stream":
		check.Problem("type", `"nats_stream" needs NATS Streaming, which no longer exists; `+
			`write type = "jetstream", the rest of the adapter stays the same`)
	default:
		check.Problem("type", `%q is not known; write type = "jetstream"`, c.Type)
	}
	if !c.Enabled {
		return
	}
	if len(c.Ingest.Topics) == 0 {
		check.Problem("ingest.topic",
			`no subject is set; name the subjects to read, such as topic = "*.broadcast.agent.registration"`)
	}
	if c.Ingest.Protocol == "" {
		check.Problem("ingest.protocol", `is missing; write protocol = "request" for registrations, or "reply"`)
	}
}

// Keys lists the keys of [adapter.NAME.ingest].
func (i *Ingest) Keys() []config.Key {
	return []config.Key{
		{Name: "topic", Value: config.Strings(&i.Topics),
			Help: "subject or list of subjects to read"},
		{Name: "protocol", Value: config.OneOf(&i.Protocol, "request", "reply"),
			Help: "request or reply; registrations are requests"},
		{Name: "workers", Value: config.Int(&i.Workers, 0, 1024),
			Help: "messages converted in parallel; 0: the number of cores"},
	}
}

// Validate reports subjects that are not valid, and pairs that match the same message: it would be
// received twice.
func (i *Ingest) Validate(check *config.Check) {
	for n, topic := range i.Topics {
		if err := subject.Check(topic); err != nil {
			check.Problem("topic", "%s", err)
			continue
		}
		for _, other := range i.Topics[:n] {
			if subject.Overlap(topic, other) {
				check.Problem("topic", "%q overlaps %q; a message would be received twice", topic, other)
			}
		}
	}
}

// Keys lists the keys of [adapter.NAME.stream].
func (s *Stream) Keys() []config.Key {
	return []config.Key{
		{Name: "topic", Value: config.String(&s.Topic),
			Help: "subject to publish to; %s: the sender"},
		{Name: "format", Value: config.OneOf(&s.Format, "choria", "plain"),
			Help: "choria: what Choria's adapter writes; plain: the unpacked registration"},
		{Name: "max_unpacked", Value: config.Size(&s.MaxUnpacked, 1<<10, 64<<20),
			Help: "plain: maximum size of an unpacked registration"},
		{Name: "servers", Value: config.Strings(&s.Servers),
			Help: "NATS servers to publish to; empty: this appliance"},
		{Name: "user", Value: config.String(&s.User),
			Help: "user name for stream.servers"},
		{Name: "password", Value: config.Secret(&s.Password),
			Help: "password for stream.servers, or file:PATH"},
		{Name: "credentials", Value: config.Path(&s.Credentials),
			Help: "path of a NATS credentials file for stream.servers"},
		{Name: "workers",
			Value: config.UnusedKey("is not needed: one connection publishes all messages; remove the line")},
	}
}

// Validate reports a subject that cannot be published to, and servers or a login that cannot be
// used.
func (s *Stream) Validate(check *config.Check) {
	topic := s.Subject("web1.example.net")
	if err := subject.Check(topic); err != nil {
		check.Problem("topic", "%s", err)
	} else if strings.ContainsAny(topic, "*>%") {
		check.Problem("topic", `%q cannot be published to; use no wildcard, and %%s for the sender`, s.Topic)
	}
	if len(s.Servers) == 0 && s.User+s.Password+s.Credentials != "" {
		check.Problem("servers", "no server is set, but user, password or credentials are; name the servers, or remove these")
	}
	for _, server := range s.Servers {
		u, err := url.Parse(withScheme(server))
		if err != nil || u.Hostname() == "" || u.Port() == "" && u.Scheme != "wss" {
			check.Problem("servers", "%q is not a valid address; write host:port, nats://host:port or wss://host", server)
		}
	}
	if _, err := os.Stat(s.Credentials); s.Credentials != "" && err != nil {
		check.Problem("credentials", "%s", err)
	}
}

func withScheme(server string) string {
	if strings.Contains(server, "://") {
		return server
	}
	return "nats://" + server
}

// Subject returns the subject that messages of the sender are published to.
func (s *Stream) Subject(sender string) string {
	return strings.ReplaceAll(s.Topic, "%s", sender)
}
