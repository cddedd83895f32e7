package adapter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

// model does with the queues what an adapter does, step by step, without a server.
type model struct {
	t       *testing.T
	peers   *peerQueues
	senders *senderQueues

	numbers    map[*message]int // in the order of arrival
	arrived    int
	converting []*message
	unacked    []*message
	retrying   []*message
	stored     map[senderKey]int // number of the last stored message
}

func newModel(t *testing.T, buffer int64, queueLen uint64) *model {
	m := &model{t: t, numbers: map[*message]int{}, stored: map[senderKey]int{}}
	m.peers = newPeerQueues(newLedger(buffer, queueLen), func(dropped *message) { delete(m.numbers, dropped) })
	m.senders = newSenderQueues(&m.peers.turns)
	return m
}

// receive receives a message, and checks which reasons it may be dropped for.
func (m *model) receive(peer, size int) {
	q := m.peers.get(peerKey{connection: uint64(peer)}, start)
	limit, load := m.peers.floodLimit(), m.peers.load(q)
	in := &message{held: heldFor(size), raw: make([]byte, size)}
	dropped := m.peers.admit(q, size)
	m.peers.receive(q, in, size, dropped)
	if dropped == "" {
		m.numbers[in] = m.arrived
		m.arrived++
	}
	if flood := dropped == contract.ReasonFlood; flood != (dropped != "" && load > limit) {
		m.t.Fatalf("dropped for the reason %q at a load of %d and a limit of %d", dropped, load, limit)
	}
	if largest := m.peers.sizes.largest(); dropped != "" && largest != nil && largest != q &&
		load+3*m.peers.weight(heldFor(size)) < m.peers.load(largest) {
		m.t.Fatalf("a message was dropped although %s has much more", largest.key)
	}
}

func (m *model) startConversion() {
	if in := m.peers.startNext(); in != nil {
		m.converting = append(m.converting, in)
	}
}

// convert finishes a conversion, which gives an output of the size, or a reject if there is none.
func (m *model) convert(number int, sender string, output int) {
	in := m.converting[number]
	m.converting = slices.Delete(m.converting, number, number+1)
	m.peers.turns.finish(in, time.Duration(output)*time.Microsecond)
	in.converted, in.sender, in.out = true, sender, &streamMessage{bytes: make([]byte, output)}
	m.peers.resize(in, in.held+int64(output))
	for in := in.queue.arrivals.popConverted(); in != nil; in = in.queue.arrivals.popConverted() {
		if len(in.out.bytes) > 0 {
			m.senders.push(in)
			continue
		}
		m.peers.turns.addQueued(in.queue, -1, -1)
		m.peers.ledger.countRejected(in, contract.ReasonSchema)
		m.finish(in)
	}
	for ready := m.senders.takeReady(); ready != nil; ready = m.senders.takeReady() {
		m.unacked = append(m.unacked, ready)
	}
}

// ack gives a message an ack; without store it is retried later.
func (m *model) ack(number int, store bool) {
	in := m.unacked[number]
	m.unacked = slices.Delete(m.unacked, number, number+1)
	m.senders.acked(in)
	if !store {
		m.senders.suspend(in)
		m.retrying = append(m.retrying, in)
		return
	}
	if last, ok := m.stored[in.senderKey()]; ok && last >= m.numbers[in] {
		m.t.Fatalf("message %d of %v was stored after message %d", m.numbers[in], in.senderKey(), last)
	}
	m.stored[in.senderKey()] = m.numbers[in]
	m.peers.ledger.countStored(in)
	m.finish(in)
	m.senders.advance(in)
}

func (m *model) finish(in *message) {
	m.peers.release(in)
	delete(m.numbers, in)
}

func (m *model) retry() {
	for _, in := range m.retrying {
		m.senders.resume(in)
	}
	m.retrying = nil
	for ready := m.senders.takeReady(); ready != nil; ready = m.senders.takeReady() {
		m.unacked = append(m.unacked, ready)
	}
}

// check compares the accounts of the peers with each other and with the ledger.
func (m *model) check() {
	var pending, held, taken, unacked int64
	for _, q := range m.peers.byKey {
		var waiting int64
		for n := range q.arrivals.unstarted() {
			waiting += (*q.arrivals.messages.at(q.arrivals.started + n)).held
		}
		if waiting != q.held-q.taken || q.pending < 0 || q.queued < 0 || q.taken < 0 || q.unacked < 0 ||
			waiting > 0 && q.list != m.peers.sizes.of(m.peers.load(q)) {
			m.t.Fatalf("%d bytes wait: %+v", waiting, q)
		}
		pending, held, taken, unacked = pending+int64(q.pending), held+q.held, taken+q.taken, unacked+q.unacked
	}
	s, t := m.peers.ledger.stats, m.peers.turns
	if !s.Balanced() || pending != int64(s.Pending) || held != s.Held || taken != t.taken.used ||
		unacked != m.senders.unacked.used || unacked != int64(len(m.unacked)) || len(m.numbers) != int(s.Pending) {
		m.t.Fatalf("%d pending, %d held, %d taken, %d unacknowledged: %+v %+v", pending, held, taken, unacked, s, t)
	}
}

// run takes the steps that the data describes, three bytes each.
func (m *model) run(data []byte) {
	for len(data) >= 3 {
		step, x, y := data[0]%8, int(data[1]), int(data[2])
		data = data[3:]
		switch {
		case step < 3:
			m.receive(x%8, y*y/16) // up to 4 KiB
		case step < 4:
			m.startConversion()
		case step < 5 && len(m.converting) > 0:
			m.convert(x%len(m.converting), fmt.Sprint(y%3), y*4)
		case step < 7 && len(m.unacked) > 0:
			m.ack(x%len(m.unacked), y > 50)
		case step == 7 && x < 64:
			m.retry()
		}
		m.check()
	}
}

// settle gives every message its outcome.
func (m *model) settle() {
	for steps := 0; m.peers.ledger.stats.Pending > 0; steps++ {
		if steps > 100_000 {
			m.t.Fatalf("messages are stuck: %+v", m.peers.ledger.stats)
		}
		m.startConversion()
		switch {
		case len(m.converting) > 0:
			m.convert(0, "a", 100)
		case len(m.unacked) > 0:
			m.ack(0, true)
		default:
			m.retry()
		}
	}
	m.check()
	if t := m.peers.turns; t.ready.used != 0 || t.taken.used != 0 || len(m.senders.active) != 0 ||
		m.senders.unackedBytes.used != 0 || m.peers.idlers != len(m.peers.byKey) {
		m.t.Fatalf("at the end: %+v, %d active, %d idle", t, len(m.senders.active), m.peers.idlers)
	}
	m.peers.forgetIdle(start.Add(1))
	if len(m.peers.byKey) != 0 || m.peers.idlers != 0 {
		m.t.Fatalf("%d peers are known that have been idle for long", len(m.peers.byKey))
	}
}

func TestPeerQueues_Model(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, seed))
		data := make([]byte, 30_000)
		for i := range data {
			data[i] = byte(r.IntN(256))
		}
		m := newModel(t, int64(16<<10<<(seed%4)), seed%3*20)
		m.run(data)
		m.settle()
	}
}

func FuzzPeerQueues(f *testing.F) {
	f.Add(uint8(0), []byte("\x00\x01\xff\x00\x01\xff\x03\x00\x00\x00\x02\x10"))
	f.Fuzz(func(t *testing.T, queueLen uint8, data []byte) {
		m := newModel(t, 32<<10, uint64(queueLen))
		m.run(data)
		m.settle()
	})
}
