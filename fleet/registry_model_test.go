package fleet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var modelRounds = flag.Int("model-rounds", 300, "how many random histories are compared with the model")

// oracle is what the states should be, written anew from the rules in words: whatever was
// told, replayed or restarted, only what happened to a node counts.
type oracle struct {
	received, ended, goodbye, start time.Time
	open                            map[uint64]bool
	before                          string
}

func (o *oracle) state(now time.Time) string {
	silent, listening := now.Sub(o.received), now.Sub(o.start)
	wasThere := o.before == "up" || o.before == "late"
	elsewhere := o.received.Sub(o.ended) > 20*time.Second
	if len(o.open) == 0 && !o.ended.IsZero() && !elsewhere && now.Sub(o.ended) >= 20*time.Second {
		last := o.ended
		if o.received.Sub(last) > 0 {
			last = o.received
		}
		if now.Sub(last) >= time.Hour {
			return "forgotten"
		}
		if d := o.goodbye.Sub(o.ended); !o.goodbye.IsZero() && d <= 20*time.Second && d >= -20*time.Second {
			return "stopped"
		}
		return "down"
	}
	if len(o.open) == 0 && (o.ended.IsZero() || elsewhere) && silent >= 11*time.Minute && (!wasThere || listening >= 11*time.Minute) {
		if silent >= time.Hour {
			return "forgotten"
		}
		return "down"
	}
	if silent >= 6*time.Minute && (o.before == "late" || o.before != "up" || listening >= 6*time.Minute) {
		return "late"
	}
	return "up"
}

// history is a book beside the oracles of its nodes, and what a stream would have of both.
type history struct {
	t      *testing.T
	r      *rand.Rand
	now    time.Time
	w      *watched
	nodes  map[string]*oracle
	stored []*Event          // all that was told, as the stream has it
	last   map[string]update // last registration of each node in its stream
	conn   uint64
	server string
}

func (h *history) do(name string) {
	o := h.nodes[name]
	h.now = h.now.Add(1 + time.Duration(h.r.IntN(1000))) // no two things happen at once
	switch op := h.r.IntN(12); {
	case op < 4:
		h.now = h.now.Add(time.Duration(h.r.IntN(400)) * time.Second)
	case op < 7: // registers, perhaps received a moment after its connection's end
		a := update{name: name, site: "ams", received: h.now}
		h.last[name] = a
		if o == nil {
			o = &oracle{start: h.w.rules.Started, open: map[uint64]bool{}}
			h.nodes[name] = o
		}
		o.received = h.now
		h.w.registered(a, h.now)
	case op == 7 && o != nil: // an old registration is read again
		h.w.registered(h.last[name], h.now)
	case op == 8 && o != nil:
		h.conn++
		o.open[h.conn] = true
		h.w.connected(name, openConnection{connID{h.server, h.conn}, h.now, "10.0.0.1", true}, h.now)
	case op == 9 && o != nil:
		for id := range o.open {
			delete(o.open, id)
			if len(o.open) == 0 {
				o.ended = h.now
			}
			h.w.disconnected(name, connID{h.server, id}, h.now, "Client Closed", h.now)
			break
		}
	case op == 10 && o != nil:
		o.goodbye = h.now
		h.w.shutdownEvent(name, h.now, h.now)
	case op == 11 && h.r.IntN(8) == 0:
		h.restart()
	}
}

// restart rebuilds the book from what the streams have; some of the latest events may not
// have been stored.
func (h *history) restart() {
	h.collect()
	lost := 0
	if len(h.stored) > 0 {
		lost = h.r.IntN(min(3, len(h.stored)) + 1)
	}
	h.stored = h.stored[:len(h.stored)-lost]
	h.server = fmt.Sprintf("S%d", h.r.IntN(1_000_000))
	h.w = newWatched(testRules(h.now))
	told := map[string]*Event{}
	for _, e := range h.stored {
		if e.Node != "" {
			h.w.restore(e)
			told[e.Node] = e
		}
	}
	for name, e := range told {
		if h.nodes[name] == nil && e.To != Forgotten { // that it was forgotten had not been stored
			h.nodes[name] = &oracle{}
		}
	}
	for name, o := range h.nodes {
		*o = oracle{start: h.now, open: map[uint64]bool{}}
		if e := told[name]; e != nil && e.To != Forgotten {
			o.received, o.before = e.Received, string(e.To)
			if e.To == Down || e.To == Stopped {
				o.ended, o.goodbye = e.Ended, e.ShutdownAt
			}
		}
		if a := h.last[name]; a.received.After(o.received) {
			o.received = a.received
		}
		h.w.registered(h.last[name], h.now)
	}
}

func (h *history) collect() {
	h.stored = append(h.stored, h.w.events...)
	h.w.events = nil
}

// compare lets time pass by a tick, and wants the view to be what the oracle says.
func (h *history) compare(step int) {
	h.w.tick(h.now)
	sum := 0
	for name, o := range h.nodes {
		want := o.state(h.now)
		n := h.w.nodes[name]
		switch {
		case want == "forgotten" && n == nil:
			delete(h.nodes, name)
			continue
		case n == nil || string(n.state) != want:
			h.t.Fatalf("step %d: %s is %+v, want %s: %+v", step, name, n, want, o)
		}
		sum++
	}
	total := 0
	for _, n := range h.w.counts {
		total += n
	}
	if total != sum || len(h.w.nodes) != sum {
		h.t.Fatalf("step %d: %d nodes, counts %v, want %d", step, len(h.w.nodes), h.w.counts, sum)
	}
	if h.w.site("ams").nodes != sum {
		h.t.Fatalf("step %d: the site has %d nodes, want %d", step, h.w.site("ams").nodes, sum)
	}
}

func TestTheViewIsWhatTheModelSays(t *testing.T) {
	for round := range *modelRounds {
		h := &history{
			t: t, r: rand.New(rand.NewPCG(uint64(round), 6)), now: time.Unix(1_000_000, 0).UTC(),
			nodes: map[string]*oracle{}, last: map[string]update{}, server: "S0",
		}
		h.w = newWatched(testRules(h.now))
		for step := range 400 {
			h.do(fmt.Sprintf("node%d", h.r.IntN(5)))
			h.compare(step)
		}
		h.collect()
		h.wantEachChangeOnce()
	}
}

// wantEachChangeOnce wants the stored events of a node to follow each other: each begins
// with the state that the one before ended with, and no id is there twice.
func (h *history) wantEachChangeOnce() {
	state := map[string]State{}
	ids := map[string]bool{}
	for _, e := range h.stored {
		if e.Node == "" {
			continue
		}
		if ids[e.ID()] {
			h.t.Errorf("%s is stored twice", e.ID())
		}
		ids[e.ID()] = true
		before := state[e.Node]
		if before == Forgotten {
			before = ""
		}
		if e.From != before || e.From == e.To {
			h.t.Errorf("%s goes from %s to %s, but was %q", e.Node, e.From, e.To, before)
		}
		state[e.Node] = e.To
	}
}
