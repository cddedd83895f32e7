package fleet

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// benchNodes is the size of a large fleet.
const benchNodes = 300_000

// BenchmarkOpen rebuilds the view of a large fleet from its streams, which have a registration
// and an event of each node. heap-B/node is the heap in use, without the names of nodes.
func BenchmarkOpen(b *testing.B) {
	body := fileBody(b, "/facts.json",
		`{"os":{"name":"Debian","release":{"major":"13"}},"cores":8,"site":"ams","role":"web"}`)
	for _, index := range [][]string{nil, {"os.name", "os.release.major", "cores", "site", "role"}} {
		label := "no-index"
		if index != nil {
			label = "five-facts"
		}
		b.Run(label, func(b *testing.B) {
			cfg := DefaultConfig()
			cfg.Index = index
			s := newFixture(b)
			s.register(benchNodes, func(n int) []byte { return output(n, "1", body) })
			f := s.open(cfg) // stores an event of each node
			wait.Eventually(b, func() error {
				if _, _, waiting := f.outbox.counts(); waiting > 0 {
					return fmt.Errorf("%d events wait", waiting)
				}
				return nil
			})
			_ = f.Close(context.Background())
			for b.Loop() {
				f = s.open(cfg)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
			with := heap()
			names := uint64(benchNodes * len(nodeName(0)))
			f.withRegistry(func(r *registry, _ time.Time) {
				r.nodes, r.byName, r.schedule = map[string]*node{}, newNameTree(), schedule{}
			})
			b.ReportMetric(float64(with-heap()-names)/benchNodes, "heap-B/node")
		})
	}
}

// BenchmarkReadGaps reads the intervals of a large fleet from the stream, which has five registrations of
// each node.
func BenchmarkReadGaps(b *testing.B) {
	s := newFixture(b)
	for range keptGaps + 1 {
		s.register(benchNodes, nil)
	}
	f := s.open(DefaultConfig())
	f.awaitIntervals(b)
	before := processorTime(b)
	for b.Loop() {
		if found, err := f.readGaps(b.Context()); len(found) != benchNodes {
			b.Fatalf("%d nodes, %v", len(found), err)
		}
	}
	b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}

// processorTime returns what the process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heap returns the bytes of the heap that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTick ticks over a large fleet, as happens every tickInterval.
func BenchmarkTick(b *testing.B) {
	now := time.Unix(1_000_000, 0)
	r := newTestRegistry(testRules(now))
	for n := range benchNodes {
		r.registered(update{name: nodeName(n), site: "ams", received: now}, now)
	}
	for b.Loop() {
		r.tick(now)
	}
}

// BenchmarkRegistered records registrations of a large fleet.
func BenchmarkRegistered(b *testing.B) {
	now := time.Unix(1_000_000, 0)
	r := newTestRegistry(testRules(now))
	names := make([]string, benchNodes)
	for n := range names {
		names[n] = nodeName(n)
		r.registered(update{name: names[n], site: "ams", received: now}, now)
	}
	for n := 0; b.Loop(); n++ {
		now = now.Add(time.Millisecond)
		r.registered(update{name: names[n%benchNodes], site: "ams", received: now}, now)
	}
}
