package forward

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

// newTestSelector returns a selector with an interval of an hour.
func newTestSelector(mode string) *selector {
	cfg := NewStream("S")
	cfg.Mode, cfg.Interval = mode, time.Hour
	return newSelector(cfg, []string{"uptime"})
}

// factsMessage returns a registration in the format "plain"; without a sender: another message.
func factsMessage(sender, facts string) *message {
	m := &message{sender: "home/" + sender, subject: "choria.node_metadata." + sender, data: []byte(facts)}
	if sender != "" {
		m.header = nats.Header{contract.HeaderSender: {sender}, contract.HeaderContent: {choria.ContentFile}}
	}
	return m
}

func TestSelector_Decide(t *testing.T) {
	type step struct {
		minute  int
		facts   string
		want    decision
		outcome string // "": the hub acknowledges what is forwarded
	}
	tooLarge := string(make([]byte, choria.MaxContent+1))
	for name, test := range map[string]struct {
		mode  string
		steps []step
	}{
		"all": {ModeAll, []step{{0, `{"a":1}`, forwardIt, ""}, {1, `{"a":1}`, forwardIt, ""}}},
		"changed": {ModeChanged, []step{
			{0, `{"a":1,"uptime":1}`, forwardIt, ""},
			{1, `{"a":1,"uptime":2}`, leaveUnchanged, ""},
			{2, `{"a":2,"uptime":3}`, forwardIt, ""},
			{3, `{"a":2,"uptime":4}`, leaveUnchanged, ""},
			{4, `{"a":1,"uptime":4}`, forwardIt, ""}, // as it was before
		}},
		"changed, a full copy is due": {ModeChanged, []step{
			{0, `{"a":1}`, forwardIt, ""},
			{60, `{"a":1}`, forwardIt, ""}, // the second one comes earlier, but not later
			{61, `{"a":1}`, leaveUnchanged, ""},
			{119, `{"a":1}`, leaveUnchanged, ""},
			{120, `{"a":1}`, forwardIt, ""},
			{150, `{"a":2}`, forwardIt, ""},
			{209, `{"a":2}`, leaveUnchanged, ""}, // an hour after the change
			{210, `{"a":2}`, forwardIt, ""},
		}},
		"changed, not acknowledged": {ModeChanged, []step{
			{0, `{"a":1}`, forwardIt, "rejected"},
			{1, `{"a":1}`, forwardIt, ""},
			{2, `{"a":2}`, forwardIt, "rejected"},
			{3, `{"a":2}`, forwardIt, "rejected"},
			{4, `{"a":1}`, leaveUnchanged, ""}, // the hub has it
		}},
		"changed, unreadable": {ModeChanged, []step{
			{0, tooLarge, forwardIt, ""},
			{1, tooLarge, forwardIt, ""},
			{2, `{"a":1}`, forwardIt, ""},
			{3, `{"a":1}`, leaveUnchanged, ""},
			{4, tooLarge, forwardIt, ""},
			{5, `{"a":1}`, forwardIt, ""}, // the hub has the unreadable one
		}},
		"changed, clock set back": {ModeChanged, []step{
			{0, `{"a":1}`, forwardIt, ""},
			{-60, `{"a":1}`, forwardIt, ""},
			{-59, `{"a":1}`, leaveUnchanged, ""},
		}},
		"sampled": {ModeSampled, []step{
			{0, `{"a":1}`, forwardIt, ""},
			{1, `{"a":2}`, leaveSampled, ""},
			{59, `{"a":3}`, leaveSampled, ""},
			{60, `{"a":3}`, forwardIt, ""},
			{119, `{"a":3}`, leaveSampled, ""},
		}},
		"sampled, not acknowledged": {ModeSampled, []step{
			{0, `{"a":1}`, forwardIt, "rejected"},
			{1, `{"a":1}`, forwardIt, ""},
			{60, `{"a":1}`, leaveSampled, ""},
			{61, `{"a":1}`, forwardIt, "rejected"},
			{62, `{"a":1}`, forwardIt, ""},
		}},
		"sampled, clock set back": {ModeSampled, []step{
			{0, `{"a":1}`, forwardIt, ""},
			{-1, `{"a":1}`, forwardIt, ""}, // due in more than an interval
			{30, `{"a":1}`, leaveSampled, ""},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSelector(test.mode)
			for i, step := range test.steps {
				m, now := factsMessage("web1", step.facts), at(60*step.minute)
				if have := s.decide(m, now); have != step.want {
					t.Fatalf("step %d: have %d, want %d", i, have, step.want)
				}
				if step.want == forwardIt && step.outcome == "" {
					s.forwarded(m, now)
				}
			}
		})
	}
}

func TestSelector_KeepsSendersAndSubjectsApart(t *testing.T) {
	for _, mode := range []string{ModeChanged, ModeSampled} {
		s := newTestSelector(mode)
		other := factsMessage("web1", `{"a":1}`)
		other.subject = "plain.web1"
		for i, m := range []*message{factsMessage("web1", `{"a":1}`), factsMessage("web2", `{"a":1}`), other} {
			if s.decide(m, at(0)) != forwardIt {
				t.Errorf("%s: message %d is not forwarded", mode, i)
			}
			s.forwarded(m, at(0))
			if s.decide(m, at(1)) == forwardIt {
				t.Errorf("%s: message %d is forwarded again", mode, i)
			}
		}
	}
}

func TestSelector_ForwardsWhatIsNotARegistration(t *testing.T) {
	for _, mode := range []string{ModeAll, ModeChanged, ModeSampled} {
		s := newTestSelector(mode)
		for range 3 {
			m := factsMessage("", `{"event":"down"}`)
			if s.decide(m, at(0)) != forwardIt {
				t.Errorf("%s: not forwarded", mode)
			}
			s.forwarded(m, at(0))
		}
		if len(s.last) != 0 {
			t.Errorf("%s: it is remembered", mode)
		}
	}
}

// TestSelector_SpreadsFullCopies has many nodes whose first copies come at once.
func TestSelector_SpreadsFullCopies(t *testing.T) {
	s := newTestSelector(ModeChanged)
	perQuarter := [4]int{}
	const nodes = 4000
	for n := range nodes {
		m := factsMessage(fmt.Sprintf("node%05d.example.net", n), `{"a":1}`)
		s.decide(m, at(0))
		s.forwarded(m, at(0))
		for minute := 1; ; minute++ {
			if minute > 60 {
				t.Fatalf("node %d has no copy after an hour", n)
			}
			if s.decide(m, at(60*minute)) == forwardIt {
				perQuarter[(minute-1)/15]++
				break
			}
		}
	}
	for quarter, copies := range perQuarter {
		if copies < nodes/5 || copies > nodes*3/10 {
			t.Errorf("%d of %d copies in quarter %d: %v", copies, nodes, quarter+1, perQuarter)
		}
	}
}

func TestSelector_ForgetsSilentSenders(t *testing.T) {
	for _, mode := range []string{ModeChanged, ModeSampled} {
		s := newTestSelector(mode)
		send := func(sender string, minute int) {
			m := factsMessage(sender, fmt.Sprintf(`{"a":%d}`, minute))
			if s.decide(m, at(60*minute)) == forwardIt {
				s.forwarded(m, at(60*minute))
			}
		}
		for n := range 100 {
			send(fmt.Sprintf("silent%d", n), 0)
		}
		rejected := factsMessage("rejected", `{"a":1}`)
		s.decide(rejected, at(0))
		for minute := 0; minute <= 180; minute += 5 {
			send("web1", minute)
		}
		if len(s.last) != 1 {
			t.Errorf("%s: %d senders are remembered", mode, len(s.last))
		}
	}
}

// simulatedNode registers facts that change as those of a server do.
type simulatedNode struct {
	message   *message
	inventory map[string]any // nil: the node registers a file of facts
	facts     map[string]any
	made      map[[2]int][]byte // registrations by minute of the hour, and whether the software has changed
}

// newSimulatedNode returns a node of the demo.
func newSimulatedNode(tb testing.TB, index int) *simulatedNode {
	tb.Helper()
	node, err := simnode.NewNode(index, simnode.NodeOptions{Protocol: choria.V1})
	if err != nil {
		tb.Fatal(err)
	}
	_, raw, err := node.Registration(at(0))
	if err != nil {
		tb.Fatal(err)
	}
	var parser choria.Parser
	request, err := parser.Request(raw)
	if err != nil {
		tb.Fatal(err)
	}
	content, err := choria.Unpack(request.Body, choria.MaxContent)
	if err != nil {
		tb.Fatal(err)
	}
	n := &simulatedNode{message: factsMessage(node.Identity, ""), made: map[[2]int][]byte{}}
	n.message.header.Del(contract.HeaderContent)
	into := &n.facts
	if content.Kind == choria.ContentInventory {
		into = &n.inventory
	}
	if err := json.Unmarshal(content.Payload, into); err != nil {
		tb.Fatal(err)
	}
	if n.inventory != nil {
		n.facts = n.inventory["facts"].(map[string]any)
	}
	return n
}

// register sets the registration of the node at a minute, in the format "choria". Its software changes once a day.
// To save time, it registers again what it did an hour before, apart from that.
func (n *simulatedNode) register(tb testing.TB, minute int) {
	tb.Helper()
	variant := [2]int{minute % 60, min(minute/700, 1)}
	if n.made[variant] == nil {
		n.make(tb, minute)
		n.made[variant] = n.message.data
	}
	n.message.data = n.made[variant]
}

// make makes the registration of a minute.
func (n *simulatedNode) make(tb testing.TB, minute int) {
	tb.Helper()
	n.facts["uptime"] = map[string]int{"seconds": 1e6 + 60*minute}
	n.facts["memory"] = map[string]int{"total_bytes": 16 << 30, "used_bytes": 8<<30 + minute*minute*7919}
	if minute >= 700 {
		n.facts["packages"].(map[string]any)["openssl"] = map[string]string{"version": "3.2.1"}
	}
	facts, err := json.Marshal(n.facts)
	if err != nil {
		tb.Fatal(err)
	}
	body, err := choria.FileBody("/etc/choria/facts.json", at(60*minute), true, facts, true)
	if n.inventory != nil {
		n.inventory["status"] = map[string]any{"uptime": 60 * minute, "stats": map[string]int{"events": minute}}
		inventory, failed := json.Marshal(n.inventory)
		if body, err = choria.InventoryBody(inventory, true); failed != nil {
			err = failed
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	sender := n.message.header.Get(contract.HeaderSender)
	m := choria.Message{Sender: sender, ID: fmt.Sprintf("%032d", minute), Time: at(60 * minute), Body: body}
	n.message.data = m.AppendOutput(nil)
}

// TestSelector_ChangedSendsATwelfth has nodes that register every 5 minutes for a day, over a link of 100 ms.
func TestSelector_ChangedSendsATwelfth(t *testing.T) {
	t.Parallel()
	cfg := NewStream("S")
	cfg.Mode = ModeChanged
	s := newSelector(cfg, []string{"uptime", "memory", "mountpoints"})
	all, changed, copies := 0, 0, 0
	const nodes = 4 // two register files, two inventories
	for index := range nodes {
		n := newSimulatedNode(t, index)
		var atHub digest
		for minute := 0; minute < 24*60; minute += 5 {
			n.register(t, minute)
			all += len(n.message.data)
			if s.decide(n.message, at(60*minute)) == forwardIt {
				s.forwarded(n.message, at(60*minute).Add(100*time.Millisecond))
				changed += len(n.message.data)
				copies++
				atHub = s.digest(n.message)
			}
			if d := s.digest(n.message); d != atHub || d.isZero() {
				t.Fatalf("minute %d: the hub does not have the facts of node %d", minute, index)
			}
		}
	}
	t.Logf("%d of %d bytes, %d of %d messages", changed, all, copies, nodes*24*12)
	if changed*12 > all || copies < nodes*22 {
		t.Errorf("%d of %d bytes in %d copies: 1/%.1f", changed, all, copies, float64(all)/float64(changed))
	}
}

// BenchmarkSelector decides about registrations of nodes of the demo, 24 KiB of facts each, that did not change.
func BenchmarkSelector(b *testing.B) {
	for _, mode := range []string{ModeChanged, ModeSampled, ModeAll} {
		b.Run(mode, func(b *testing.B) {
			s := newTestSelector(mode)
			var messages []*message
			for index := range 16 {
				n := newSimulatedNode(b, index)
				n.register(b, 0)
				messages = append(messages, n.message)
				s.decide(n.message, at(0))
				s.forwarded(n.message, at(0))
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				s.decide(messages[n%len(messages)], at(1))
			}
		})
	}
}
