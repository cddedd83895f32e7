package cli

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/link"
)

var (
	edgeSeed   = flag.Uint64("edge-seed", 0, "seed of the only schedule of faults between edges and their hub; 0: several")
	edgeRounds = flag.Int("edge-rounds", 0, "how many schedules of faults between edges and their hub run")
)

// edgeTests is the variable that makes the tests of edges and their hub run a dozen schedules of faults.
const edgeTests = "MUSTER_TEST_EDGE"

// drainLimit is how long the hub may take to have everything once all faults have ended.
const drainLimit = time.Minute

// TestEdge_LosesNothingInARandomSchedule runs schedules of faults between edges and their hub. -edge-seed repeats one.
func TestEdge_LosesNothingInARandomSchedule(t *testing.T) {
	seeds, steps, edges := []uint64{9046}, 5, 2 // a backup restored, both killed, a link stalled and cut
	switch {
	case *edgeRounds > 0:
		seeds, steps, edges = make([]uint64, *edgeRounds), 25, 3
		for i := range seeds {
			seeds[i] = rand.Uint64N(1 << 32)
		}
	case os.Getenv(edgeTests) != "" && !raceDetector:
		seeds, steps, edges = make([]uint64, 12), 12, 3
		for i := range seeds {
			seeds[i] = uint64(100 + i)
		}
	case testing.Short():
		t.Skip("takes some seconds")
	}
	if *edgeSeed > 0 {
		seeds = []uint64{*edgeSeed}
	}
	for _, seed := range seeds {
		ran := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { newSchedule(t, seed, edges).run(steps) })
		if !ran {
			t.Fatalf("repeat it with -edge-seed %d", seed)
		}
	}
}

// TestEdge_LosesNothingInOneFault runs each fault alone: it begins under load, and ends after a second.
func TestEdge_LosesNothingInOneFault(t *testing.T) {
	if os.Getenv(edgeTests) == "" || raceDetector {
		t.Skip("takes a minute; set " + edgeTests)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s := newSchedule(t, 1, 1)
			time.Sleep(500 * time.Millisecond)
			s.begin(0, f)
			time.Sleep(time.Second)
			s.finish()
		})
	}
}

// schedule is a random sequence of faults.
type schedule struct {
	*sites
	random *rand.Rand
	loads  []*siteLoad
	heal   map[string]func() // ends the fault of a member or link
	fired  map[string]int    // by fault
	n      int               // of odd messages

	started time.Time
}

// newSchedule starts a hub, edges and their load.
func newSchedule(t *testing.T, seed uint64, edges int) *schedule {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 18))
	// With the short window, only the question about the last message at the hub keeps messages from being doubled.
	window := []time.Duration{500 * time.Millisecond, 30 * time.Second}[random.IntN(2)]
	s := &schedule{
		sites: newSites(t, sitesOptions{edges: edges, window: window}), random: random,
		heal: map[string]func(){}, fired: map[string]int{}, started: time.Now(),
	}
	for _, e := range s.edges {
		s.loads = append(s.loads, startLoad(t, e, loadOptions{nodes: 5, interval: 100 * time.Millisecond}))
	}
	return s
}

// fault is what may happen to an edge, its link or the hub. begin returns what ends it, nil if nothing has to.
type fault struct {
	name  string
	begin func(s *schedule, e *edge, load *siteLoad) (end func())
}

// faults are those of schedules.
var faults = []fault{
	{"cut", func(_ *schedule, e *edge, _ *siteLoad) func() { e.link.Cut(); return e.link.Heal }},
	{"hole", func(_ *schedule, e *edge, _ *siteLoad) func() { e.link.Hole(); return e.link.Heal }},
	{"half", func(s *schedule, e *edge, _ *siteLoad) func() {
		e.link.Half(link.Direction(s.random.IntN(2)))
		return e.link.Heal
	}},
	{"stall", func(_ *schedule, e *edge, _ *siteLoad) func() { e.link.Stall(); return e.link.Heal }},
	{"corrupt", func(_ *schedule, e *edge, _ *siteLoad) func() { e.link.Corrupt(); return e.link.Heal }},
	{"slow", func(s *schedule, e *edge, _ *siteLoad) func() {
		e.link.SetRate(20<<10 + s.random.Int64N(200<<10))
		e.link.SetDelay(time.Duration(s.random.IntN(300)) * time.Millisecond)
		return func() { e.link.SetRate(0); e.link.SetDelay(0) }
	}},
	{"kill the edge", func(_ *schedule, e *edge, _ *siteLoad) func() { e.kill(); return e.start }},
	{"restart the edge", func(_ *schedule, e *edge, _ *siteLoad) func() { e.restart(); return nil }},
	{"back up and restore", func(s *schedule, e *edge, _ *siteLoad) func() {
		s.backUp(e)
		return func() { s.restore(e) }
	}},
	{"wipe", func(s *schedule, e *edge, _ *siteLoad) func() { s.wipe(e, time.Time{}); return e.start }},
	{"oversize and poison", func(s *schedule, e *edge, load *siteLoad) func() {
		s.n++
		load.publishOversize(s.n)
		load.publishPoison(e.site, s.n)
		return nil
	}},
	{"kill the hub", func(s *schedule, _ *edge, _ *siteLoad) func() { s.hub.kill(); return s.hub.start }},
	{"restart the hub", func(s *schedule, _ *edge, _ *siteLoad) func() { s.hub.restart(); return nil }},
	{"delete a stream of the hub", func(s *schedule, _ *edge, _ *siteLoad) func() {
		s.endFaults()
		return s.recreate(2 * s.random.IntN(2)) // registrations or APP: the hub's own events are not forwarded again
	}},
}

// run runs so many steps of the schedule, and finishes it.
func (s *schedule) run(steps int) {
	for range steps {
		s.step()
		time.Sleep(time.Duration(s.random.IntN(1500)) * time.Millisecond)
	}
	s.finish()
}

// finish ends all faults and the load, and compares what the edges and the hub have stored.
func (s *schedule) finish() {
	s.endFaults()
	for _, load := range s.loads {
		load.stop()
	}
	s.drain(drainLimit)
	s.t.Logf("faults: %v; %d messages of edges, %d at the hub", s.fired, len(s.check().Edges), len(s.check().Hub))
}

// step begins a random fault.
func (s *schedule) step() {
	s.begin(s.random.IntN(len(s.edges)), faults[s.random.IntN(len(faults))])
}

// begin begins a fault of an edge, and ends the one that the edge, or the hub, had.
func (s *schedule) begin(i int, f fault) {
	e, what := s.edges[i], s.edges[i].site
	if f.name == "kill the hub" || f.name == "restart the hub" {
		what = "hub"
	}
	s.endFault(what)
	s.t.Logf("%s %s: %s", time.Since(s.started).Round(time.Millisecond), what, f.name)
	s.fired[f.name]++
	if end := f.begin(s, e, s.loads[i]); end != nil {
		s.heal[what] = end
	}
}

func (s *schedule) endFault(what string) {
	if end := s.heal[what]; end != nil {
		delete(s.heal, what)
		end()
	}
}

// endFaults ends all faults, that of the hub first.
func (s *schedule) endFaults() {
	s.endFault("hub")
	for _, e := range s.edges {
		s.endFault(e.site)
	}
}
