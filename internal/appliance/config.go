package appliance

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/jsconfig"
)

// Where the data is kept when the configuration does not say: an installed appliance has
// a file and a directory of its own, a lab without a file uses the current one.
const (
	InstalledDir = "/var/lib/muster" // also that of the unit
	labDir       = "./muster-data"
)

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
	c, err := read(file)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// LoadConsole reads where the console is. Who asks it need not be able to read all that the
// file names: what is wrong elsewhere in it is no error.
func LoadConsole(file string) (console.Config, error) {
	c, err := read(file)
	var problems config.Problems
	if c != nil && errors.As(err, &problems) && !slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Key == "" || strings.HasPrefix(p.Key, "console") }) {
		err = nil
	}
	if err != nil {
		return console.Config{}, err
	}
	return c.Console, nil
}

// read is nil where there is nothing to be read.
func read(file string) (*Config, error) {
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
	return Parse(file, text)
}

// Parse is Load for a text that is at hand. The configuration is returned with the error
// too, as far as it could be read.
func Parse(file string, text []byte) (*Config, error) {
	c := DefaultConfig()
	c.File = file
	if file != "" {
		c.DataDir = InstalledDir
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
