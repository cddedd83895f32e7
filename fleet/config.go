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
	Stream          string        // holds the registrations
	LateAfter       time.Duration // without a registration; 0: follows from the node's interval
	DownAfter       time.Duration // the same, for a node that has not connected since the start to be down
	ForgetAfter     time.Duration // without a registration or connection
	DisconnectGrace time.Duration // for a node to reconnect
	StormShare      int64         // percent of the nodes of a site
	Advisories      bool          // also publish the advisories of the Stream Replicator
	Index           []string      // paths of facts, such as os.name
	Volatile        []string      // paths of facts that Diff leaves out
}

// volatileFacts returns the facts of Facter that change on their own between registrations.
func volatileFacts() []string {
	return []string{
		"uptime", "uptime_seconds", "uptime_hours", "uptime_days", "system_uptime", "load_averages",
		"memory", "memoryfree", "memoryfree_mb", "swapfree", "swapfree_mb", "mountpoints", "last_run",
	}
}

// indexedByDefault returns facts of Facter by which operators usually select nodes.
func indexedByDefault() []string { return []string{"os.name", "os.family", "os.release.major"} }

// DefaultConfig returns the configuration of a lab.
func DefaultConfig() Config {
	return Config{
		Enabled: true, Stream: contract.StreamRegistration,
		ForgetAfter:     7 * 24 * time.Hour,
		DisconnectGrace: 20 * time.Second, StormShare: 20,
		Index: indexedByDefault(), Volatile: volatileFacts(),
	}
}

// auto stands for a limit that follows from the interval of each node.
const auto = "auto"

// The range of every duration in [fleet].
const (
	minTime = time.Second
	maxTime = 10 * 365 * 24 * time.Hour
)

// Keys returns the keys of [fleet].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&c.Enabled), Help: "false: the fleet view is disabled"},
		{Name: "stream", Value: config.String(&c.Stream), Help: "stream that holds the registrations"},
		{Name: "late_after", Value: config.DurationOr(auto, &c.LateAfter, minTime, maxTime),
			Help: "a node without a registration for this long is late; auto: from its interval"},
		{Name: "down_after", Value: config.DurationOr(auto, &c.DownAfter, minTime, maxTime),
			Help: "the same, until a node that has not connected since the start is down; auto: from its interval"},
		{Name: "forget_after", Value: config.Duration(&c.ForgetAfter, minTime, maxTime),
			Help: "a down or stopped node without a registration or connection for this long is removed"},
		{Name: "disconnect_grace", Value: config.Duration(&c.DisconnectGrace, minTime, maxTime),
			Help: "a node that does not reconnect within this time is down"},
		{Name: "storm_share", Value: config.Int(&c.StormShare, 1, 100),
			Help: "a storm: more than this percentage of a site down within a minute"},
		{Name: "advisories", Value: config.Bool(&c.Advisories),
			Help: "true: also publish advisories as the Stream Replicator does"},
		{Name: "index", Value: config.Strings(&c.Index),
			Help: "facts to index; if any, classes, agents and collectives too; []: nothing"},
		{Name: "volatile", Value: config.Strings(&c.Volatile),
			Help: "facts to ignore, with all below them, when registrations are compared"},
	}
}

// validFact matches the path of a fact: names joined by dots.
var validFact = regexp.MustCompile(`^[^\s.]+(\.[^\s.]+)*$`)

// Validate checks that the limits increase, that there is a stream, and that facts are paths.
func (c *Config) Validate(check *config.Check) {
	mustExceed := func(key string, value time.Duration, otherKey string, other time.Duration, when string) {
		if value <= other {
			check.Problem(key, "%s must be more than %s, which is %s%s", config.FormatDuration(value), otherKey,
				config.FormatDuration(other), when)
		}
	}
	if c.LateAfter > 0 && c.DownAfter > 0 {
		mustExceed("down_after", c.DownAfter, "late_after", c.LateAfter, "")
	}
	when := ""
	if c.DownAfter == 0 {
		when = " while the interval of a node is not known"
	}
	rules := c.Rules(time.Time{})
	_, down := rules.limits(&gaps{})
	mustExceed("forget_after", c.ForgetAfter, "down_after", down, when)
	mustExceed("forget_after", c.ForgetAfter, "disconnect_grace", c.DisconnectGrace, "")
	if c.Enabled && c.Stream == "" {
		check.Problem("stream", `no stream is set; name the one that the adapter writes to, such as "CHORIA_REGISTRATION"`)
	}
	checkFacts(check, "index", c.Index)
	checkFacts(check, "volatile", c.Volatile)
}

func checkFacts(check *config.Check, key string, facts []string) {
	for _, fact := range facts {
		if !validFact.MatchString(fact) {
			check.Problem(key, "%q is not a valid fact; write its path, such as os.name", fact)
		}
	}
}

// Rules returns the configured limits for a process that started at the given time.
func (c *Config) Rules(started time.Time) Rules {
	return Rules{
		Late: c.LateAfter, Down: c.DownAfter, Forget: c.ForgetAfter, Grace: c.DisconnectGrace, Started: started,
	}
}
