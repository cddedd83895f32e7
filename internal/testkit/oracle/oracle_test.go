package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

// edgeMessages returns what an edge stored: registrations of three nodes, and messages without an id.
func edgeMessages(site string) (all []Message) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 30 {
		node := fmt.Sprintf("web%d", n%3)
		m := Message{
			Site: site, Stream: contract.StreamRegistration, Subject: contract.SubjectNodeMetadata + node,
			Sequence: uint64(n + 1), Stored: start.Add(time.Duration(n) * time.Second), Data: fmt.Appendf(nil, "body %d", n),
			Header: nats.Header{
				contract.HeaderMsgID:  {fmt.Sprintf("registration/%s/%d", node, n)},
				contract.HeaderSender: {node}, "Nats-TTL": {"1h"},
			},
		}
		if n%5 == 4 {
			m.Subject, m.Header = "app.events", nil
		}
		all = append(all, m)
	}
	return all
}

// forward returns what a faultless forwarder makes the hub store.
func forward(edge []Message) (hub []Message) {
	for i := range edge {
		m := edge[i]
		header := kept(m.Header)
		if header == nil {
			header = nats.Header{}
		}
		header.Set(contract.HeaderMsgID, m.ID())
		header.Set(contract.HeaderVia, m.Site)
		header.Set(contract.HeaderSource,
			fmt.Sprintf("%s %d %s life %d", m.Stream, m.Sequence, m.Site, m.Stored.UnixMilli()))
		hub = append(hub, Message{
			Site: m.Site, Subject: m.Subject, Sequence: uint64(i + 1), Stored: m.Stored, Header: header, Data: m.Data, Life: 1,
		})
	}
	return hub
}

func TestCheck_FindsWhatAForwarderDoesWrong(t *testing.T) {
	setHeader := func(name, value string) func([]Message) []Message {
		return func(hub []Message) []Message { hub[7].Header.Set(name, value); return hub }
	}
	for name, c := range map[string]struct {
		fault func(hub []Message) []Message
		want  string // begins the only problem; empty: there is none
	}{
		"nothing": {func(hub []Message) []Message { return hub }, ""},
		"other senders overtake": {func(hub []Message) []Message {
			hub[6], hub[7] = hub[7], hub[6]
			return hub
		}, ""},
		"a new life of the hub's stream": {func(hub []Message) []Message {
			again := hub[7]
			again.Life++
			return append(hub, again)
		}, ""},
		"lost": {func(hub []Message) []Message { return slices.Delete(hub, 7, 8) },
			"lost: ams choria.node_metadata.web1 8"},
		"twice": {func(hub []Message) []Message { return append(hub, hub[7]) }, "stored twice: ams"},
		"moved": {func(hub []Message) []Message {
			moved := hub[7]
			return append(slices.Delete(hub, 7, 8), moved)
		}, "out of order"},
		"body":   {func(hub []Message) []Message { hub[7].Data = []byte("body 8"); return hub }, "changed: ams"},
		"cut":    {func(hub []Message) []Message { hub[7].Data = hub[7].Data[:3]; return hub }, "changed: ams"},
		"site":   {func(hub []Message) []Message { hub[7].Site = "fra"; return hub }, "changed: fra"},
		"header": {setHeader(contract.HeaderSender, "web2"), "changed: ams"},
		"more":   {setHeader("More", "1"), "changed: ams"},
		"nats":   {setHeader("Nats-TTL", "1h"), "changed: ams"},
		"via":    {setHeader(contract.HeaderVia, "fra"), "changed: ams"},
		"source": {setHeader(contract.HeaderSource, "none"), "changed: ams"},
		"invented": {func(hub []Message) []Message {
			more := hub[7]
			more.Header = maps.Clone(more.Header)
			more.Header.Set(contract.HeaderMsgID, "ams/other")
			return append(hub, more)
		}, "unknown at the edge"},
	} {
		t.Run(name, func(t *testing.T) {
			edge := edgeMessages("ams")
			check := Check{Edges: edge, Hub: c.fault(forward(edge))}
			have := check.Problems()
			if c.want == "" && len(have) > 0 || c.want != "" && (len(have) != 1 || !strings.HasPrefix(have[0], c.want)) {
				t.Errorf("have %q, want %q", have, c.want)
			}
		})
	}
}

func TestCheck_AcceptsRepeatsOfNamedMessagesOnly(t *testing.T) {
	edge := edgeMessages("ams")
	hub := forward(edge)
	check := Check{Edges: edge, Hub: append(hub, hub[7], hub[8])}
	check.Repeats = func(m *Message) bool { return m.Header.Get(contract.HeaderMsgID) == edge[7].ID() }
	if have := check.Problems(); len(have) != 1 || !strings.Contains(have[0], edge[8].ID()) {
		t.Errorf("have %q", have)
	}
}

func TestCheck_AcceptsWhatTheLedgerOrAWipeExplains(t *testing.T) {
	edge := edgeMessages("ams")
	hub := forward(edge)
	gap := Gap{"ams", edge[10].Stored, edge[20].Stored}
	check := Check{Edges: slices.Concat(edge[:15], edge[20:]), Hub: slices.Concat(hub[:3], hub[4:12], hub[18:])}
	if have := check.Problems(); len(have) < 5 {
		t.Errorf("have %q", have)
	}
	check.Gaps = []Gap{gap}
	check.Excused = func(m *Message) bool { return m.Sequence == 4 }
	if have := check.Problems(); len(have) > 0 {
		t.Errorf("have %q", have)
	}
	check.Gaps[0].Site = "fra"
	if have := check.Problems(); len(have) == 0 {
		t.Error("a gap of another site is accepted")
	}
}
