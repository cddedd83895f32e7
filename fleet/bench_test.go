package fleet

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// benchNodes is a large fleet.
const benchNodes = 300_000

// BenchmarkOpen rebuilds the view of a large fleet from its streams: the registrations, and
// an event of each node. The heap is what is in use beyond the names.
func BenchmarkOpen(b *testing.B) {
	facts := []byte(`{"os":{"name":"Debian","release":{"major":"13"}},"cores":8,"site":"ams","role":"web"}`)
	body, err := choria.FileBody("/facts.json", time.Unix(1, 0), false, facts, true)
	if err != nil {
		b.Fatal(err)
	}
	for _, index := range [][]string{nil, {"os.name", "os.release.major", "cores", "site", "role"}} {
		label := "no-index"
		if index != nil {
			label = "five-facts"
		}
		b.Run(label, func(b *testing.B) {
			cfg := DefaultConfig()
			cfg.Index = index
			s := newStage(b)
			s.register(benchNodes, func(n int) []byte {
				m := choria.Message{Sender: name(n), ID: "1", Time: time.Unix(1, 0), Body: body}
				return m.AppendOutput(nil)
			})
			f := s.open(cfg) // tells of each node that it is new
			s.eventually(func() error { return f.quiet() })
			_ = f.Close(context.Background())
			for b.Loop() {
				f = s.open(cfg)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
			with := heap()
			names := uint64(benchNodes * len(name(0)))
			f.withRegistry(func(r *registry, _ time.Time) {
				r.nodes, r.byName, r.schedule = map[string]*node{}, newNameTree(), schedule{}
			})
			b.ReportMetric(float64(with-heap()-names)/benchNodes, "heap-B/node")
		})
	}
}

// quiet tells whether no event waits.
func (f *Fleet) quiet() error {
	if _, _, waiting := f.outbox.counts(); waiting > 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTick lets time pass over a large fleet, as happens twice a second.
func BenchmarkTick(b *testing.B) {
	now := time.Unix(1_000_000, 0)
	w := newWatched(testRules(now))
	for n := range benchNodes {
		w.registered(update{name: name(n), site: "ams", received: now}, now)
	}
	for b.Loop() {
		w.tick(now)
	}
}

// BenchmarkRegistered is one registration of a large fleet.
func BenchmarkRegistered(b *testing.B) {
	now := time.Unix(1_000_000, 0)
	w := newWatched(testRules(now))
	names := make([]string, benchNodes)
	for n := range names {
		names[n] = name(n)
		w.registered(update{name: names[n], site: "ams", received: now}, now)
	}
	for n := 0; b.Loop(); n++ {
		now = now.Add(time.Millisecond)
		w.registered(update{name: names[n%benchNodes], site: "ams", received: now}, now)
	}
}
