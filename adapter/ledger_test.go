package adapter

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

func TestLedger_BalancesAfterEveryStep(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	l := newLedger(100<<10, 50)
	var pending []*message
	for range 20_000 {
		if r.IntN(2) == 0 {
			size := r.IntN(5 << 10)
			m := &message{held: heldFor(size), out: &streamMessage{}}
			dropped := ""
			if !l.hasRoom(size) {
				dropped = contract.ReasonBuffer
			}
			l.receive(size, dropped)
			if dropped == "" {
				pending = append(pending, m)
			}
		} else if len(pending) > 0 {
			at := r.IntN(len(pending))
			m := pending[at]
			pending = append(pending[:at], pending[at+1:]...)
			l.resize(m, m.held+int64(r.IntN(100)))
			[]func(){
				func() { l.countStored(m) }, func() { l.countDuplicate(m) }, func() { l.countRejected(m, contract.ReasonSchema) },
				func() { l.countDropped(m, contract.ReasonFlood) },
			}[r.IntN(4)]()
		}
		if s := l.stats; !s.Balanced() || s.Pending != uint64(len(pending)) || s.Pending > 50 {
			t.Fatalf("%d pending: %+v", len(pending), s)
		}
	}
	l.countLost(7)
	l.dropPending()
	s := l.snapshot()
	if !s.Balanced() || s.Pending != 0 || s.Held != 0 ||
		s.Dropped[contract.ReasonConnection] != 7 || s.Dropped[contract.ReasonBuffer] == 0 {
		t.Errorf("at the end: %+v", s)
	}
	s.Rejected[contract.ReasonSchema]++
	if !l.stats.Balanced() {
		t.Error("changing a snapshot changes the ledger")
	}
}

func TestLedger_BoundsUnpackedMessagesToo(t *testing.T) {
	const buffer, unpacked = 4 << 20, 256 << 10
	cfg := DefaultConfig()
	cfg.Stream.Format = "plain"
	cfg.Ingest.Workers = 2
	a, b := openWith(t, cfg, buffer)
	publish(t, b, 500, make([]byte, unpacked), true)
	waitReceived(t, a, 500)
	var highest int64
	for range 200 {
		highest = max(highest, a.Stats().Held)
		time.Sleep(time.Millisecond)
	}
	if highest < buffer/3 || highest > buffer+3*(unpacked+4096) { // one peer may unpack to a third of the buffer
		t.Errorf("up to %d bytes are held, with a buffer of %d", highest, buffer)
	}
}
