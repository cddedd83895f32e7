package appliance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

func TestClose_UnderLoadCountsEveryMessage(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	cfg := testkit.Config(t, keepAll)
	var inStream uint64
	for round := range rounds {
		a := newAppliance(cfg)
		if err := a.Open(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		read := readByServer(t, a)
		load := testkit.StartLoad(t, a.BrokerAddress(), testkit.LoadOptions{
			Connections: 4, FirstID: round * 1_000_000, Content: 3000,
		})
		wait.Eventually(t, func() error {
			if n := load.Published(); n < 1000 {
				return fmt.Errorf("%d published", n)
			}
			return nil
		})
		if err := a.Close(context.Background()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		load.Stop()
		s := a.Stats()["registration"]
		if n := read(); n == 0 || s.Received < n {
			t.Errorf("round %d: the server had read %d messages, the ledger knows of %d", round, n, s.Received)
		}
		if !s.Balanced() || s.Pending != 0 || s.AllDropped() != 0 {
			t.Errorf("round %d: %+v", round, s)
		}
		inStream += s.Stored
	}
	a := testkit.Open(t, cfg)
	if keys := testkit.Keys(t, testkit.JetStream(t, a), contract.StreamRegistration); uint64(len(keys)) != inStream {
		t.Errorf("%d stored by the ledgers, %d in the stream", inStream, len(keys))
	}
}

// readByServer returns a function that returns the number of messages that the server had read
// from the load's connections when they ended. The server's event reports it from the side of
// the client, as messages that the client sent.
func readByServer(t *testing.T, a *appliance.Appliance) func() uint64 {
	t.Helper()
	nc, err := a.ConnectSystem()
	if err != nil {
		t.Fatal(err)
	}
	var total atomic.Uint64
	if _, err := nc.Subscribe("$SYS.ACCOUNT.choria.DISCONNECT", func(m *nats.Msg) {
		var event struct {
			Client struct{ Name string }
			Sent   struct{ Msgs uint64 }
		}
		if json.Unmarshal(m.Data, &event) == nil && strings.HasPrefix(event.Client.Name, "load ") {
			total.Add(event.Sent.Msgs)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() uint64 { nc.Close(); return total.Load() }
}
