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
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/muster-appliance/muster/jsconfig"
)

// Defaults of data_dir.
const (
	InstalledDir = "/var/lib/muster" // with a configuration file; the systemd unit uses it too
	labDir       = "./muster-data"   // without a file
)

// Config is the whole configuration: the top keys of the file, and the table of each component.
type Config struct {
	File string // where it was read; empty: no file

	Identity    string
	Site        string
	DataDir     string
	MemoryLimit int64 // bytes; 0: derived from the buffers and the connections

	Log       Log
	Broker    broker.Config
	JetStream broker.JetStream
	Declared  jsconfig.Config
	Adapters  map[string]*adapter.Config
	Fleet     fleet.Config
	Forward   map[string]*forward.Config
	Console   console.Config
}

// Log is the [log] table.
type Log struct {
	Level  string
	Format string
}

// DefaultConfig returns the configuration of a lab on loopback. It collects registrations.
func DefaultConfig() *Config {
	c := &Config{
		DataDir:   labDir,
		Log:       Log{Level: "info", Format: "text"},
		Broker:    broker.DefaultConfig(),
		JetStream: broker.DefaultJetStream(),
		Declared:  jsconfig.DefaultConfig(),
		Adapters:  map[string]*adapter.Config{},
		Fleet:     fleet.DefaultConfig(),
		Forward:   map[string]*forward.Config{},
		Console:   console.DefaultConfig(),
	}
	registration := adapter.DefaultConfig()
	c.Adapters[registration.Name] = registration
	return c
}

// Load reads the configuration file, laid over the defaults. An empty name stands for no file.
// The error is a config.Problems.
func Load(file string) (*Config, error) {
	c, err := read(file)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// LoadConsole reads the [console] table. Problems elsewhere in the file are ignored: a user who
// asks the console may be unable to read other files that the configuration names.
func LoadConsole(file string) (console.Config, error) {
	c, err := read(file)
	var problems config.Problems
	concerned := func(p config.Problem) bool { return p.Key == "" || strings.HasPrefix(p.Key, "console") }
	if c != nil && errors.As(err, &problems) && !slices.ContainsFunc(problems, concerned) {
		err = nil
	}
	if err != nil {
		return console.Config{}, err
	}
	return c.Console, nil
}

// read returns the configuration with the error, as far as it could be read; nil if the file cannot.
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

// Parse does what Load does, for the text of a file. It returns the configuration with the
// error too, as far as it could be read.
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

// Keys returns the top keys of the file.
func (c *Config) Keys() []config.Key {
	return append([]config.Key{
		{Name: "identity", Value: config.String(&c.Identity),
			Help: "name of this appliance; default: the fully qualified name of the host"},
		{Name: "site", Value: config.String(&c.Site), Help: "site that this appliance collects for; default: the identity"},
		{Name: "data_dir", Value: config.String(&c.DataDir), Help: "directory for all stored data"},
		{Name: "memory_limit", Value: config.SizeOr("auto", &c.MemoryLimit, 32<<20, 1<<50),
			Help: "soft memory limit for the garbage collector; auto: computed from the buffers and the connections"},
		{Name: "log", Value: config.SubTable(&c.Log), Help: "log, on standard error"},
		{Name: "broker", Value: config.SubTable(&c.Broker), Help: "NATS server to which nodes connect"},
		{Name: "jetstream", Value: config.SubTable(&c.JetStream), Help: "limits of what is stored"},
		{Name: "adapter", Value: config.NamedTables(c.Adapters, adapter.NewConfig),
			Help: "reads Choria messages and writes stream messages"},
		{Name: "fleet", Value: config.SubTable(&c.Fleet), Help: "state of every node"},
		{Name: "forward", Value: config.NamedTables(c.Forward, forward.NewConfig),
			Help: "forwards streams to a hub, see docs/edge.md"},
		{Name: "console", Value: config.SubTable(&c.Console), Help: "HTTP server for people and monitoring"},
	}, c.Declared.Keys()...)
}

// EnabledAdapters returns the adapters that are enabled, sorted by name.
func (c *Config) EnabledAdapters() []*adapter.Config {
	var enabled []*adapter.Config
	for _, name := range slices.Sorted(maps.Keys(c.Adapters)) {
		if a := c.Adapters[name]; a.Enabled {
			enabled = append(enabled, a)
		}
	}
	return enabled
}

// EnabledForwards returns the hubs that are forwarded to, sorted by name.
func (c *Config) EnabledForwards() []*forward.Config {
	var enabled []*forward.Config
	for _, name := range slices.Sorted(maps.Keys(c.Forward)) {
		if f := c.Forward[name]; f.Enabled {
			enabled = append(enabled, f)
		}
	}
	return enabled
}

// ingestSubjects returns the subjects that the adapters read.
func (c *Config) ingestSubjects() []string {
	var topics []string
	for _, a := range c.EnabledAdapters() {
		topics = append(topics, a.Ingest.Topics...)
	}
	return topics
}

// adapterIntake returns the name of the broker.Intake of an adapter.
func adapterIntake(adapterName string) string { return "adapter-" + adapterName }

// fleetIntake is the name of the broker.Intake of the fleet view.
const fleetIntake = "fleet"

// adminIntake is the name of the broker.Intake of requests that administrators make to the appliance.
const adminIntake = "admin"

// intakes returns what the components read together with the publisher of each message.
func (c *Config) intakes() []broker.Intake {
	intakes := []broker.Intake{
		{Name: adminIntake, Subjects: []string{contract.SubjectAcceptLoss + "*"}, Replies: true},
		{Name: governorIntake, Subjects: []string{contract.SubjectsGovernor}, Replies: true},
	}
	for _, a := range c.EnabledAdapters() {
		intakes = append(intakes, broker.Intake{Name: adapterIntake(a.Name), Subjects: a.Ingest.Topics})
	}
	if c.Fleet.Enabled {
		intakes = append(intakes, broker.Intake{Name: fleetIntake, Subjects: []string{contract.SubjectShutdown}})
	}
	return intakes
}

// outputSubjects returns, for each adapter, the subject that covers all that it publishes, and that of what edges
// forward.
func (c *Config) outputSubjects() []string {
	var topics []string
	for _, a := range c.EnabledAdapters() {
		topics = append(topics, subject.OfAllSenders(a.Stream.Topic))
	}
	return append(topics, c.siteOutputs()...)
}

// Keys returns the keys of [log].
func (l *Log) Keys() []config.Key {
	return []config.Key{
		{Name: "level", Value: config.OneOf(&l.Level, "trace", "debug", "info", "warn", "error"),
			Help: "trace, debug, info, warn or error"},
		{Name: "format", Value: config.OneOf(&l.Format, "text", "json"), Help: "text or json"},
	}
}

// Validate does nothing: the keys of [log] do not depend on each other.
func (l *Log) Validate(*config.Check) {}
