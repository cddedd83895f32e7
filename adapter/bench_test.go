package adapter_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
)

// BenchmarkBurst publishes realistic registrations of 200 nodes over 20 connections as fast as
// possible. The processor time is that of the whole process, senders included.
func BenchmarkBurst(b *testing.B) {
	const connections, nodes = 20, 200
	a := testkit.Appliance(b, "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n")
	conns := make([]*nats.Conn, connections)
	for c := range conns {
		conns[c] = testkit.Connect(b, a)
	}
	fleet := make([]*simnode.Node, nodes)
	for i := range fleet {
		n, err := simnode.NewNode(i, simnode.NodeOptions{})
		if err != nil {
			b.Fatal(err)
		}
		fleet[i] = n
	}
	raw := make([][]byte, b.N)
	var bytes int
	for i := range raw {
		var err error
		if _, raw[i], err = fleet[i%nodes].Registration(time.Now()); err != nil {
			b.Fatal(err)
		}
		bytes += len(raw[i])
	}
	before := processorTime(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range conns {
		wg.Go(func() {
			for i := c; i < len(raw); i += connections {
				if err := conns[c].Publish(simnode.Subject, raw[i]); err != nil {
					b.Error(err)
				}
			}
			_ = conns[c].FlushTimeout(time.Minute)
		})
	}
	wg.Wait()
	testkit.Settled(b, a, "registration", uint64(b.N))
	b.StopTimer()
	if s := a.Stats()["registration"]; s.Stored != uint64(b.N) {
		b.Errorf("%d of %d stored: %+v", s.Stored, b.N, s)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stored/s")
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/message")
}

func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
