package appliance_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/link"
	"github.com/nats-io/nats.go"
)

// BenchmarkForward_SlowLink forwards registrations of 2 000 nodes with 6 KiB over a link whose round trip takes
// 100 ms. With -benchtime 30000x each node has 15.
func BenchmarkForward_SlowLink(b *testing.B) {
	b.Run("TCP", func(b *testing.B) {
		benchmarkSlowLink(b, func(hub *appliance.Appliance) string { return "nats://" + hub.BrokerAddress() })
	})
	b.Run("WebSocket", func(b *testing.B) {
		benchmarkSlowLink(b, func(hub *appliance.Appliance) string { return hub.Listeners()["websocket"] })
	})
}

// benchmarkSlowLink lets the edge connect to the port of the hub at a URL, which address returns.
func benchmarkSlowLink(b *testing.B, address func(hub *appliance.Appliance) (url string)) {
	hub := testkit.Appliance(b, hubText+"[broker.websocket]\nlisten = '127.0.0.1:0'\n")
	scheme, target, _ := strings.Cut(address(hub), "://")
	slow, err := link.New(target)
	if err != nil {
		b.Fatal(err)
	}
	defer slow.Close()
	slow.SetDelay(50 * time.Millisecond)
	text := fmt.Sprintf(`site = "ams"
[stream.CHORIA_REGISTRATION]
max_msgs_per_subject = -1
[forward.hub]
servers = ["%s://%s"]
user = "ams.test"
paused = true
[forward.hub.stream.CHORIA_REGISTRATION]
mode = "all"
catchup = "all"
`, scheme, slow.Address())
	cfg := testkit.Config(b, text)
	edge := testkit.Open(b, cfg)
	nc := testkit.Connect(b, edge)
	for n := range b.N {
		_, raw := testkit.Registration(b, fmt.Sprintf("node%d", n%2000), n, 6<<10)
		if err := nc.PublishMsg(&nats.Msg{Subject: testkit.Subject, Data: raw}); err != nil {
			b.Fatal(err)
		}
	}
	testkit.Settled(b, edge, "registration", uint64(b.N))
	cfg.Forward["hub"].Paused = false
	b.ResetTimer()
	edge.Reload(cfg)
	for edge.Forwards()[0].Streams["CHORIA_REGISTRATION"].Forwarded < uint64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
