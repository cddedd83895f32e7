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
	Name      string
	Enabled   bool
	Type      string
	QueueLen  int64 // 0: bounded by the buffer alone
	Buffer    int64 // bytes; 0: chosen from the machine's memory
	Verify    string
	ClockSkew time.Duration
	Ingest    Ingest
	Stream    Stream
}

// Ingest is an [adapter.NAME.ingest] table: where messages come from.
type Ingest struct {
	Topics   []string
	Protocol string
	Workers  int64 // 0: as many as there are cores
}

// Stream is an [adapter.NAME.stream] table: where they go.
type Stream struct {
	Topic       string
	Format      string
	MaxUnpacked int64
	Servers     []string
	User        string
	Password    string
	Credentials string
}

// NewConfig is an adapter of which only the name is known.
func NewConfig(name string) *Config {
	return &Config{
		Name: name, Enabled: true, Type: "jetstream", Verify: verifyAuto, ClockSkew: 10 * time.Minute,
		Stream: Stream{Topic: name, Format: "choria", MaxUnpacked: 1 << 20},
	}
}

// DefaultConfig is the adapter that collects registrations.
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
		{Name: "enabled", Value: config.Bool(&c.Enabled), Help: "false: the adapter does not run"},
		{Name: "type", Value: config.String(&c.Type), Help: "jetstream; choria_streams is the same"},
		{Name: "queue_len", Value: config.Int(&c.QueueLen, 0, math.MaxInt32), Help: "most messages waiting; 0: as many as the buffer holds"},
		{Name: "buffer", Value: config.SizeOr("auto", &c.Buffer, 1<<20, 1<<40), Help: "most bytes received and not yet stored; auto: a quarter of the memory, at most 1GiB"},
		{Name: "verify", Value: config.OneOf(&c.Verify, verifyAuto, verifyRequire, verifyRecord, verifyOff), Help: "whether senders must prove who they are: auto requires it where there is a CA, an issuer or a signer, and records what it finds elsewhere"},
		{Name: "clock_skew", Value: config.Duration(&c.ClockSkew, time.Second, 365*24*time.Hour), Help: "a sender's clock that is further off is noted in Muster-Skew"},
		{Name: "ingest", Value: config.Sub(&c.Ingest), Help: "where messages come from"},
		{Name: "stream", Value: config.Sub(&c.Stream), Help: "where they go"},
	}
}

// Validate refuses an adapter that could not run.
func (c *Config) Validate(check *config.Check) {
	if !contract.ValidName(c.Name) {
		check.Problem("", "%q is no name for an adapter; use A-Z, a-z, 0-9, _ and -", c.Name)
	}
	switch c.Type {
	case "jetstream", "choria_streams":
	case "nats_stream":
		check.Problem("type", `"nats_stream" is gone with NATS Streaming; write type = "jetstream", the rest of the adapter stays the same`)
	default:
		check.Problem("type", `%q is not known; write type = "jetstream"`, c.Type)
	}
	if !c.Enabled {
		return
	}
	if len(c.Ingest.Topics) == 0 {
		check.Problem("ingest.topic", `none; name the subjects to read, such as topic = "*.broadcast.agent.registration"`)
	}
	if c.Ingest.Protocol == "" {
		check.Problem("ingest.protocol", `not said; write protocol = "request" for registrations, or "reply"`)
	}
}

// Keys lists the keys of [adapter.NAME.ingest].
func (i *Ingest) Keys() []config.Key {
	return []config.Key{
		{Name: "topic", Value: config.Strings(&i.Topics), Help: "subject, or list of subjects, to read"},
		{Name: "protocol", Value: config.OneOf(&i.Protocol, "request", "reply"), Help: "what is published there; registrations are requests"},
		{Name: "workers", Value: config.Int(&i.Workers, 0, 1024), Help: "messages read in parallel; 0: as many as there are cores"},
	}
}

// Validate wants subjects of which no message matches two: it would come twice.
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
		{Name: "topic", Value: config.String(&s.Topic), Help: "subject to publish to; %s is the sender"},
		{Name: "format", Value: config.OneOf(&s.Format, "choria", "plain"), Help: "choria: as Choria's adapter writes; plain: the registration itself, unpacked"},
		{Name: "max_unpacked", Value: config.Size(&s.MaxUnpacked, 1<<10, 64<<20), Help: "plain: what a registration may unpack to"},
		{Name: "servers", Value: config.Strings(&s.Servers), Help: "another NATS to publish to; none: this appliance"},
		{Name: "user", Value: config.String(&s.User), Help: "user name there"},
		{Name: "password", Value: config.Secret(&s.Password), Help: "password there, or file:PATH"},
		{Name: "credentials", Value: config.Path(&s.Credentials), Help: "path of a NATS credentials file for there"},
		{Name: "workers", Value: config.Gone("is not needed: one connection publishes for all; remove the line")},
	}
}

// Validate tries the topic with a sender.
func (s *Stream) Validate(check *config.Check) {
	topic := s.Subject("web1.example.net")
	if err := subject.Check(topic); err != nil {
		check.Problem("topic", "%s", err)
	} else if strings.ContainsAny(topic, "*>%") {
		check.Problem("topic", `%q cannot be published to; use no wildcard, and %%s for the sender`, s.Topic)
	}
	if len(s.Servers) == 0 && s.User+s.Password+s.Credentials != "" {
		check.Problem("servers", "none, but what to log in with is given; name the servers, or remove it")
	}
	for _, server := range s.Servers {
		if u, err := url.Parse(withScheme(server)); err != nil || u.Port() == "" || u.Hostname() == "" {
			check.Problem("servers", "%q is no address; write host:port or nats://host:port", server)
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

// Subject is where a message of the sender goes.
func (s *Stream) Subject(sender string) string {
	return strings.ReplaceAll(s.Topic, "%s", sender)
}
