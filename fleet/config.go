package fleet

import (
	"regexp"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
)

// Config is the [fleet] table.
type Config struct {
	Enabled         bool
	Stream          string
	LateAfter       time.Duration
	DownAfter       time.Duration
	ForgetAfter     time.Duration
	DisconnectGrace time.Duration
	StormShare      int64 // per cent
	Advisories      bool
	Index           []string
	Volatile        []string
}

// volatileFacts change by themselves, in Facter's names.
var volatileFacts = []string{
	"uptime", "uptime_seconds", "uptime_hours", "uptime_days", "system_uptime", "load_averages",
	"memory", "memoryfree", "memoryfree_mb", "swapfree", "swapfree_mb", "mountpoints", "last_run",
}

// DefaultConfig watches who registers by default, and has an honest node skip an interval
// of five minutes before it is down.
func DefaultConfig() Config {
	return Config{
		Enabled: true, Stream: contract.StreamRegistration,
		LateAfter: 6 * time.Minute, DownAfter: 11 * time.Minute, ForgetAfter: 7 * 24 * time.Hour,
		DisconnectGrace: 20 * time.Second, StormShare: 20, Volatile: volatileFacts,
	}
}

const (
	leastTime = time.Second
	mostTime  = 10 * 365 * 24 * time.Hour
)

// Keys lists the keys of [fleet].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&c.Enabled), Help: "false: nobody watches the nodes"},
		{Name: "stream", Value: config.String(&c.Stream), Help: "stream of the registrations"},
		{Name: "late_after", Value: config.Duration(&c.LateAfter, leastTime, mostTime), Help: "without a registration for so long a node is late"},
		{Name: "down_after", Value: config.Duration(&c.DownAfter, leastTime, mostTime), Help: "silent for so long, and never seen connected here, it is down"},
		{Name: "forget_after", Value: config.Duration(&c.ForgetAfter, leastTime, mostTime), Help: "down or stopped for so long, it is forgotten"},
		{Name: "disconnect_grace", Value: config.Duration(&c.DisconnectGrace, leastTime, mostTime), Help: "its connection ended and none came back for so long: it is down"},
		{Name: "storm_share", Value: config.Int(&c.StormShare, 1, 100), Help: "more than so many per cent of a site down within a minute are one storm"},
		{Name: "advisories", Value: config.Bool(&c.Advisories), Help: "true: tell of nodes as Stream Replicator does too"},
		{Name: "index", Value: config.Strings(&c.Index), Help: "facts to keep in memory, such as os.name; classes and agents too"},
		{Name: "volatile", Value: config.Strings(&c.Volatile), Help: "facts that change by themselves, with all below them: no difference between registrations"},
	}
}

// validFact is a path into the facts.
var validFact = regexp.MustCompile(`^[^\s.]+(\.[^\s.]+)*$`)

// Validate refuses times that do not follow each other.
func (c *Config) Validate(check *config.Check) {
	if c.DownAfter <= c.LateAfter {
		check.Problem("down_after", "%s is not more than late_after, %s", config.FormatDuration(c.DownAfter), config.FormatDuration(c.LateAfter))
	}
	if c.ForgetAfter <= c.DownAfter {
		check.Problem("forget_after", "%s is not more than down_after, %s", config.FormatDuration(c.ForgetAfter), config.FormatDuration(c.DownAfter))
	}
	if c.ForgetAfter <= c.DisconnectGrace {
		check.Problem("forget_after", "%s is not more than disconnect_grace, %s", config.FormatDuration(c.ForgetAfter), config.FormatDuration(c.DisconnectGrace))
	}
	if c.Enabled && c.Stream == "" {
		check.Problem("stream", `empty; name the stream that the adapter fills, such as "CHORIA_REGISTRATION"`)
	}
	checkFacts(check, "index", c.Index)
	checkFacts(check, "volatile", c.Volatile)
}

func checkFacts(check *config.Check, key string, facts []string) {
	for _, fact := range facts {
		if !validFact.MatchString(fact) {
			check.Problem(key, "%q is no fact's name; write it as os.name", fact)
		}
	}
}

// Rules are those of the configuration, for who begins to listen at that time.
func (c *Config) Rules(started time.Time) Rules {
	return Rules{Late: c.LateAfter, Down: c.DownAfter, Forget: c.ForgetAfter, Grace: c.DisconnectGrace, Started: started}
}
