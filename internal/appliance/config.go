package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/muster-appliance/muster/jsconfig"
)

// Where the data is kept when the configuration does not say: an installed appliance has
// a file and a directory of its own, a lab without a file uses the current one.
const (
	installedDir = "/var/lib/muster"
	labDir       = "./muster-data"
)

// leastDuplicateWindow covers the time between two attempts of an adapter to store a message.
const leastDuplicateWindow = 15 * time.Second

// validIdentity is what can be a NATS server's name and an HTTP header.
var validIdentity = regexp.MustCompile(`^[A-Za-z0-9._:@=+-]{1,255}$`)

// Config is the whole configuration: the file's top keys, and every organ's own table.
type Config struct {
	File string // where it was read; empty for a lab

	Identity    string
	Site        string
	DataDir     string
	MemoryLimit int64 // bytes; 0: from the buffers and the connections

	Log       Log
	Broker    broker.Config
	JetStream broker.JetStream
	Declared  jsconfig.Config
	Adapters  map[string]*adapter.Config
	Fleet     fleet.Config
	Console   console.Config
}

// Log is the [log] table.
type Log struct {
	Level  string
	Format string
}

// DefaultConfig is a lab on loopback, with all that a collection point needs.
func DefaultConfig() *Config {
	c := &Config{
		DataDir:   labDir,
		Log:       Log{Level: "info", Format: "text"},
		Broker:    broker.DefaultConfig(),
		JetStream: broker.DefaultJetStream(),
		Declared:  jsconfig.DefaultConfig(),
		Adapters:  map[string]*adapter.Config{},
		Fleet:     fleet.DefaultConfig(),
		Console:   console.DefaultConfig(),
	}
	registration := adapter.DefaultConfig()
	c.Adapters[registration.Name] = registration
	return c
}

// Load reads the configuration file over the defaults. Without a file, the defaults are
// the configuration. The error is a config.Problems where the file can be read.
func Load(file string) (*Config, error) {
	var text []byte
	if file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			var cause *fs.PathError
			if errors.As(err, &cause) {
				err = cause.Err
			}
			return nil, config.Problems{{File: file, Text: err.Error()}}
		}
	}
	c, err := Parse(file, text)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Parse is Load for a text that is at hand. The configuration is returned with the error
// too, as far as it could be read.
func Parse(file string, text []byte) (*Config, error) {
	c := DefaultConfig()
	c.File = file
	if file != "" {
		c.DataDir = installedDir
	}
	err := config.Load(file, text, c)
	if c.Identity == "" {
		c.Identity = hostIdentity()
	}
	if c.Site == "" {
		c.Site = c.Identity
	}
	return c, err
}

// TokenFile is where a running appliance leaves its admin token.
func (c *Config) TokenFile() string { return filepath.Join(c.DataDir, "admin.token") }

// Keys lists the top keys of the file.
func (c *Config) Keys() []config.Key {
	return append([]config.Key{
		{Name: "identity", Value: config.String(&c.Identity), Help: "name of this appliance; default: the host's name with its domain"},
		{Name: "site", Value: config.String(&c.Site), Help: "name of the place it collects for; default: identity"},
		{Name: "data_dir", Value: config.String(&c.DataDir), Help: "directory of all that is stored"},
		{Name: "memory_limit", Value: config.SizeOr("auto", &c.MemoryLimit, 32<<20, 1<<50), Help: "memory that the garbage collector stays within; auto: from the buffers and the connections"},
		{Name: "log", Value: config.Sub(&c.Log), Help: "what is logged, on standard error"},
		{Name: "broker", Value: config.Sub(&c.Broker), Help: "where nodes connect"},
		{Name: "jetstream", Value: config.Sub(&c.JetStream), Help: "what may be stored"},
		{Name: "adapter", Value: config.Named(c.Adapters, adapter.NewConfig), Help: "Choria messages in, stream messages out"},
		{Name: "fleet", Value: config.Sub(&c.Fleet), Help: "what becomes of the nodes"},
		{Name: "console", Value: config.Sub(&c.Console), Help: "where people and monitoring ask"},
	}, c.Declared.Keys()...)
}

// Validate checks what no table can check by itself.
func (c *Config) Validate(check *config.Check) {
	for key, name := range map[string]string{"identity": c.Identity, "site": c.Site} {
		if name != "" && !validIdentity.MatchString(name) {
			check.Problem(key, "%q is no name; use A-Z, a-z, 0-9 and ._:@=+-", name)
		}
	}
	if c.DataDir == "" {
		check.Problem("data_dir", `empty; name a directory, such as "/var/lib/muster"`)
	}
	if c.Broker.Listen == c.Console.Listen && !strings.HasSuffix(c.Console.Listen, ":0") {
		check.Problem("console.listen", "%q is broker.listen too; use another port", c.Console.Listen)
	}
	c.Declared.Validate(check, c.JetStream.MaxStorage, c.JetStream.MaxMemory)
	c.checkLoops(check)
	for _, a := range c.EnabledAdapters() {
		name := c.Declared.StreamOf(a.Stream.Subject("sender"))
		if s := c.Declared.Streams[name]; s != nil && s.NoAck && len(a.Stream.Servers) == 0 {
			check.Problem("stream."+name+".no_ack", "true, but adapter %s publishes to it and waits for its answers", a.Name)
		}
	}
}

// checkLoops refuses topics on which an adapter would read what an adapter writes, or
// what the server and the clients say to each other: it would never end.
func (c *Config) checkLoops(check *config.Check) {
	for _, a := range c.EnabledAdapters() {
		for _, topic := range a.Ingest.Topics {
			if own := c.written(topic); own != "" {
				check.Problem("adapter."+a.Name+".ingest.topic", "%q takes in %s; name the subjects that nodes publish to", topic, own)
			}
		}
	}
}

// written says what a topic takes in that nodes have not published, or is empty.
func (c *Config) written(topic string) string {
	first, _, _ := strings.Cut(topic, ".")
	if slices.Contains([]string{">", "$JS", "$SYS", "_INBOX"}, first) {
		return "what the server and its clients say to each other"
	}
	if subject.Overlap(topic, "muster.rejected.>") {
		return "rejected messages"
	}
	if subject.Overlap(topic, "muster.fleet.>") {
		return "events of the fleet"
	}
	for _, a := range c.EnabledAdapters() {
		for _, sender := range []string{"web1", "web1.example.net"} {
			if len(a.Stream.Servers) == 0 && subject.Covers(topic, a.Stream.Subject(sender)) {
				return "what adapter " + a.Name + " publishes"
			}
		}
	}
	return ""
}

// Warnings are what may be meant, but is worth a second look.
func (c *Config) Warnings() []string {
	var warnings []string
	for _, a := range c.EnabledAdapters() {
		if len(a.Stream.Servers) == 0 && c.Declared.StreamOf(a.Stream.Subject("sender")) == "" {
			warnings = append(warnings, fmt.Sprintf("adapter %s publishes to %q, which no declared stream takes; it waits until there is one",
				a.Name, a.Stream.Topic))
		}
	}
	for _, a := range c.EnabledAdapters() {
		name := c.Declared.StreamOf(a.Stream.Subject("sender"))
		if s := c.Declared.Streams[name]; s != nil && s.DuplicateWindow > 0 && s.DuplicateWindow < leastDuplicateWindow {
			warnings = append(warnings, fmt.Sprintf("stream %s forgets message ids after %s; a message whose acknowledgement was lost may be stored twice, with %s it is not",
				name, config.FormatDuration(s.DuplicateWindow), config.FormatDuration(leastDuplicateWindow)))
		}
	}
	for _, name := range c.Declared.Unbounded() {
		warnings = append(warnings, fmt.Sprintf("stream %s has no max_bytes; it may grow until jetstream.max_storage is reached, and then nothing is stored", name))
	}
	return warnings
}

// EnabledAdapters are the adapters that run, in order of name.
func (c *Config) EnabledAdapters() []*adapter.Config {
	var enabled []*adapter.Config
	for _, name := range slices.Sorted(maps.Keys(c.Adapters)) {
		if a := c.Adapters[name]; a.Enabled {
			enabled = append(enabled, a)
		}
	}
	return enabled
}

// ingested are the subjects that adapters read.
func (c *Config) ingested() []string {
	var topics []string
	for _, a := range c.EnabledAdapters() {
		topics = append(topics, a.Ingest.Topics...)
	}
	return topics
}

// private are the subjects that adapters publish to, all senders' together.
func (c *Config) private() []string {
	var topics []string
	for _, a := range c.EnabledAdapters() {
		tokens := strings.Split(a.Stream.Topic, ".")
		if at := slices.IndexFunc(tokens, func(token string) bool { return strings.Contains(token, "%s") }); at >= 0 {
			tokens = append(tokens[:at], ">")
		}
		topics = append(topics, strings.Join(tokens, "."))
	}
	return topics
}

// Keys lists the keys of [log].
func (l *Log) Keys() []config.Key {
	return []config.Key{
		{Name: "level", Value: config.OneOf(&l.Level, "trace", "debug", "info", "warn", "error"), Help: "trace, debug, info, warn or error"},
		{Name: "format", Value: config.OneOf(&l.Format, "text", "json"), Help: "text or json"},
	}
}

// Validate has nothing to relate.
func (l *Log) Validate(*config.Check) {}
