package adapter

// senderQueues keep the order of each sender: only the first message of a sender is published,
// the later ones wait until it has its outcome. Senders do not wait for each other, and peers take
// turns with what they have ready. They are guarded by the adapter's mutex.
type senderQueues struct {
	active       map[senderKey]*senderQueue // only senders with a message that has no outcome
	turns        *turns                     // counts what is ready
	publishers   fifo[*peerQueue]           // the peers with ready messages
	unacked      quota                      // messages published and not yet acknowledged
	unackedBytes quota
}

// senderKey names the sender of messages that arrived from one peer. What another peer sends in its
// name does not delay it.
type senderKey struct {
	peer   *peerQueue
	sender string
}

func (m *message) senderKey() senderKey { return senderKey{m.queue, m.sender} }

// senderQueue holds the messages of one sender behind the one that is being published. It is
// suspended while that one waits for a retry.
type senderQueue struct {
	later     []*message // in order of arrival
	suspended bool
}

// maxReady is how many messages of all peers may be in conversion or ready to be published.
const maxReady = 2 * maxUnacked

func newSenderQueues(t *turns) *senderQueues {
	return &senderQueues{
		active:       map[senderKey]*senderQueue{},
		turns:        t,
		unacked:      quota{limit: maxUnacked},
		unackedBytes: quota{limit: maxUnackedBytes},
	}
}

// push appends a converted message to the queue of its sender, or makes it ready if its sender has no
// other message.
func (s *senderQueues) push(m *message) {
	q := s.active[m.senderKey()]
	switch {
	case q == nil:
		s.active[m.senderKey()] = &senderQueue{}
		s.makeReady(m)
		return
	case q.suspended:
		s.turns.addQueued(m.queue, -1, -1)
	default:
		s.turns.addQueued(m.queue, 0, -1)
	}
	q.later = append(q.later, m)
}

// makeReady appends a message to those that its peer publishes next.
func (s *senderQueues) makeReady(m *message) {
	m.queue.ready.push(m)
	s.joinPublishers(m.queue)
}

func (s *senderQueues) joinPublishers(q *peerQueue) {
	if !q.publishing && q.ready.count > 0 {
		q.publishing = true
		s.publishers.push(q)
	}
}

// takeReady removes and returns a message to publish, and counts it as unacknowledged; nil if none is
// ready, or as many are unacknowledged as may be.
func (s *senderQueues) takeReady() *message {
	for s.publishers.count > 0 && !s.unacked.exhausted() && !s.unackedBytes.exhausted() {
		q := s.publishers.pop()
		q.publishing = false
		if s.unacked.full(q.unacked) || s.unackedBytes.full(q.unackedBytes) {
			continue // acked brings it back
		}
		m := q.ready.pop()
		s.joinPublishers(q)
		s.turns.addQueued(q, -1, -1)
		s.addUnacked(m, 1)
		return m
	}
	return nil
}

// acked ends the wait for the ack of a message: there is one, or there will be none.
func (s *senderQueues) acked(m *message) {
	s.addUnacked(m, -1)
	s.joinPublishers(m.queue)
}

// addUnacked counts one message more, or one less (n is -1), as unacknowledged.
func (s *senderQueues) addUnacked(m *message, n int64) {
	bytes := n * int64(len(m.out.bytes))
	m.queue.unacked += n
	m.queue.unackedBytes += bytes
	s.unacked.used += n
	s.unackedBytes.used += bytes
}

// advance makes the next message of a sender ready: the first, m, has its outcome.
func (s *senderQueues) advance(m *message) {
	q := s.active[m.senderKey()]
	if len(q.later) == 0 {
		delete(s.active, m.senderKey())
		return
	}
	next := q.later[0]
	q.later[0] = nil
	q.later = q.later[1:]
	s.turns.addQueued(next.queue, 0, 1)
	s.makeReady(next)
}

// suspend pauses the queue of a message that was published and waits for a retry. Suspended messages do
// not keep their peer from converting others: a sender whose message cannot be stored must not hold
// up the other senders of the peer.
func (s *senderQueues) suspend(m *message) {
	q := s.active[m.senderKey()]
	q.suspended = true
	s.turns.addQueued(m.queue, -int64(len(q.later)), 0)
}

// resume makes a message ready whose retry is due.
func (s *senderQueues) resume(m *message) {
	q := s.active[m.senderKey()]
	q.suspended = false
	s.turns.addQueued(m.queue, int64(len(q.later))+1, 1)
	s.makeReady(m)
}
