package fleet

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// benchNodes is the size of a large fleet.
const benchNodes = 300_000

// realBodies returns bodies of registrations as nodes send them: half of them inventories, half files, with
// 24 KiB of facts. There are so many that each combination of indexed values is among them.
func realBodies(tb testing.TB) (bodies [][]byte) {
	tb.Helper()
	var parser choria.Parser
	for n := range 240 {
		node, err := simnode.NewNode(n, simnode.NodeOptions{Protocol: choria.V2})
		if err != nil {
			tb.Fatal(err)
		}
		_, raw, err := node.Registration(time.Unix(1, 0))
		if err != nil {
			tb.Fatal(err)
		}
		m, err := parser.Request(raw)
		if err != nil {
			tb.Fatal(err)
		}
		bodies = append(bodies, bytes.Clone(m.Body))
	}
	return bodies
}

// benchIndexes are an appliance without an index, and one with the default.
var benchIndexes = map[string][]string{"no-index": nil, "default-index": indexedByDefault()}

// BenchmarkOpen rebuilds the view of a large fleet from its streams, which have a registration
// and an event of each node. heap-B/node is the heap in use, without the names of nodes.
func BenchmarkOpen(b *testing.B) {
	bodies := realBodies(b)
	s := newFixture(b)
	s.register(benchNodes, func(n int) []byte { return output(n, "1", bodies[n%len(bodies)]) })
	f := s.open(Config{Stream: DefaultConfig().Stream}) // stores an event of each node
	wait.Eventually(b, func() error {
		if _, _, waiting := f.outbox.counts(); waiting > 0 {
			return fmt.Errorf("%d events wait", waiting)
		}
		return nil
	})
	_ = f.Close(context.Background())
	for label, index := range benchIndexes {
		b.Run(label, func(b *testing.B) {
			cfg := DefaultConfig()
			cfg.Index = index
			before := processorTime(b)
			for b.Loop() {
				f = s.open(cfg)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
			b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/open")
			f.awaitIntervals(b)
			with := heap()
			names := uint64(benchNodes * len(nodeName(0)))
			f.withRegistry(func(r *registry, _ time.Time) {
				r.nodes, r.byName, r.schedule = map[string]*node{}, newNameTree(), schedule{}
			})
			b.ReportMetric(float64(with-heap()-names)/benchNodes, "heap-B/node")
			_ = f.Close(context.Background())
		})
	}
}

// BenchmarkIndex reads a registration as the fleet does.
func BenchmarkIndex(b *testing.B) {
	bodies := realBodies(b)
	for n, body := range bodies {
		bodies[n] = output(n, "1", body)
	}
	header := (&fixture{}).adapterHeader(1)
	for label, facts := range benchIndexes {
		b.Run(label, func(b *testing.B) {
			i := newIndex(facts)
			for n := 0; b.Loop(); n++ {
				_, err := newUpdate("choria.node_metadata.x", header.Get)
				if err == nil && !i.empty() {
					_, err = i.indexContent("", bodies[n%len(bodies)])
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReadGaps reads the intervals of a large fleet from the stream, which has five registrations of
// each node.
func BenchmarkReadGaps(b *testing.B) {
	s := newFixture(b)
	for range 5 {
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
