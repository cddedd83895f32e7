package oracle_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/oracle"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// record records a stream of an appliance until the test ends.
func record(t *testing.T, a *appliance.Appliance, site, stream string) *oracle.Recorder {
	t.Helper()
	connect := func() (*nats.Conn, error) { return nats.Connect(a.BrokerAddress(), nats.NoReconnect()) }
	r := oracle.Record(site, stream, connect)
	t.Cleanup(r.Stop)
	return r
}

// await waits until everything is recorded.
func await(t *testing.T, r *oracle.Recorder) []oracle.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	if err := r.Await(ctx); err != nil {
		t.Fatal(err)
	}
	return r.Messages()
}

// forwardTo publishes messages of an edge as a forwarder does.
func forwardTo(t *testing.T, hub *nats.Conn, messages []oracle.Message) {
	t.Helper()
	js, err := hub.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		out := &nats.Msg{Subject: contract.SiteSubject(m.Site, m.Subject), Data: m.Data, Header: nats.Header{}}
		for name, values := range m.Header {
			if !strings.HasPrefix(name, contract.PrefixNATSHeader) {
				out.Header[name] = values
			}
		}
		out.Header.Set(contract.HeaderMsgID, m.ID())
		out.Header.Set(contract.HeaderVia, m.Site)
		out.Header.Set(contract.HeaderSource,
			fmt.Sprintf("%s %d %s life %d", m.Stream, m.Sequence, m.Site, m.Stored.UnixMilli()))
		if _, err := js.PublishMsg(out); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecorder_RecordsAnEdgeAndItsHub(t *testing.T) {
	const keepAll = "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n"
	edge := testkit.Appliance(t, "site = 'ams'\n"+keepAll)
	hub := testkit.Appliance(t, "[stream.COPY]\nsubjects = 'choria.sites.>'\n")
	atEdge, atHub := record(t, edge, "ams", contract.StreamRegistration), record(t, hub, "", "COPY")
	load := testkit.StartLoad(t, edge.BrokerAddress(), testkit.LoadOptions{Connections: 2, Content: 100, Rate: 1000})
	wait.Eventually(t, func() error {
		if len(atEdge.Messages()) < 200 {
			return fmt.Errorf("%d messages are recorded", len(atEdge.Messages()))
		}
		return nil
	})
	sent := load.Stop()
	testkit.Settled(t, edge, "registration", uint64(len(sent)))
	stored := await(t, atEdge)
	if len(stored) != len(sent) {
		t.Fatalf("%d of %d messages are recorded", len(stored), len(sent))
	}
	forwardTo(t, testkit.Connect(t, hub), stored)
	check := oracle.Check{Edges: stored, Hub: await(t, atHub)}
	if problems := check.Problems(); len(problems) > 0 {
		t.Errorf("%q", problems)
	}

	// The hub's stream is deleted, and the same messages are stored in a new one.
	js := testkit.JetStream(t, hub)
	s, err := js.Stream(t.Context(), "COPY")
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "COPY"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), s.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	forwardTo(t, testkit.Connect(t, hub), stored)
	check.Hub = await(t, atHub)
	if problems := check.Problems(); len(problems) > 0 || len(check.Hub) != 2*len(stored) || len(check.Missing()) > 0 {
		t.Errorf("%d messages at the hub: %q", len(check.Hub), problems)
	}
	forwardTo(t, testkit.Connect(t, hub), stored[:1])
	await(t, atHub)
}
