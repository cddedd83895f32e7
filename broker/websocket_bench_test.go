package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/nats-io/nats.go"
)

// BenchmarkWebSocket_Publish publishes messages of 8 KiB over TLS, over WebSocket, and over WebSocket with compression.
// Each has other content: facts that are packed and then written as base64. cpu-µs/op is the processor time of both
// sides.
func BenchmarkWebSocket_Publish(b *testing.B) {
	messages := make([][]byte, 64)
	for i := range messages {
		packed := make([]byte, 6<<10)
		_, _ = rand.Read(packed) // never fails
		messages[i] = []byte(base64.StdEncoding.EncodeToString(packed))
	}
	for _, way := range []struct {
		name     string
		url      func(*Broker) string
		compress bool
	}{
		{"TLS", func(m *Broker) string { return "tls://" + m.Address() }, false},
		{"WebSocket", func(m *Broker) string { return m.Listeners()[0].URL }, false},
		{"Compressed", func(m *Broker) string { return m.Listeners()[0].URL }, true},
	} {
		b.Run(way.name, func(b *testing.B) {
			nc := benchmarkConnection(b, way.url, way.compress)
			before := processorTime(b)
			for i := 0; b.Loop(); i++ {
				if err := nc.Publish("mcollective.broadcast.agent.registration", messages[i%len(messages)]); err != nil {
					b.Fatal(err)
				}
			}
			if err := nc.Flush(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

// benchmarkConnection runs a broker and connects a node to it.
func benchmarkConnection(b *testing.B, url func(*Broker) string, compress bool) *nats.Conn {
	b.Helper()
	ca, dir := authority.New(b, time.Now()), b.TempDir()
	ca.Files(dir, nil, "broker.test")
	cfg := DefaultConfig()
	cfg.TLS, cfg.Listen = filesIn(dir), "127.0.0.1:0"
	cfg.WebSocket = WebSocket{Listen: "127.0.0.1:0", Compression: compress}
	m := New(cfg, DefaultJetStream(), Options{
		Name: "broker.test", StoreDir: b.TempDir(), Verifier: noTokens(), Now: time.Now, Log: hclog.NewNullLogger(),
		Ingest: []string{"*.broadcast.agent.registration"},
	})
	b.Cleanup(func() { _ = m.Close(context.Background()) })
	if err := m.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := m.Accept(); err != nil {
		b.Fatal(err)
	}
	nc, err := nats.Connect(url(m), nats.Secure(ca.Client(nil, "web1")), nats.Compression(compress))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}
