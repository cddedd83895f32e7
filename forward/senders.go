package forward

// senders keep the order of each sender: only its first message is published, the later ones wait until that one has
// its outcome. Senders do not wait for each other. The copier's mutex guards them.
type senders struct {
	active map[string]*senderQueue // only senders with a message that has no outcome
	ready  []*message              // the first messages of senders, to be published next
	begin  int                     // index of the first of ready
}

// senderQueue has the messages of a sender in their order. The first one is ready, published, or waits for a retry.
type senderQueue struct{ messages []*message }

func newSenders() *senders { return &senders{active: map[string]*senderQueue{}} }

// push appends a message to the queue of its sender.
func (s *senders) push(m *message) {
	q := s.active[m.sender]
	if q == nil {
		q = &senderQueue{}
		s.active[m.sender] = q
		s.makeReady(m)
	}
	q.messages = append(q.messages, m)
}

// makeReady makes the first message of a sender one of those that are published next.
func (s *senders) makeReady(m *message) { s.ready = append(s.ready, m) }

// makeReadyFirst makes the first messages of some senders those that are published next.
func (s *senders) makeReadyFirst(messages []*message) {
	s.ready = append(messages, s.ready[s.begin:]...)
	s.begin = 0
}

// peek returns the message to publish next; nil: none is ready.
func (s *senders) peek() *message {
	if s.begin == len(s.ready) {
		s.ready, s.begin = s.ready[:0], 0
		return nil
	}
	return s.ready[s.begin]
}

// take removes the message that peek returned.
func (s *senders) take() {
	s.ready[s.begin] = nil
	s.begin++
	if s.begin > 1024 && s.begin > len(s.ready)/2 {
		s.ready = append(s.ready[:0:0], s.ready[s.begin:]...)
		s.begin = 0
	}
}

// advance makes the next message of a sender ready: the first, m, has its outcome.
func (s *senders) advance(m *message) {
	q := s.active[m.sender]
	q.messages[0] = nil
	q.messages = q.messages[1:]
	if len(q.messages) == 0 {
		delete(s.active, m.sender)
		return
	}
	s.makeReady(q.messages[0])
}

// supersede removes the messages of a sender on the subject of m that have not been published, and returns them. The
// first one stays: it may be on its way.
func (s *senders) supersede(m *message) (removed []*message) {
	q := s.active[m.sender]
	if q == nil {
		return nil
	}
	kept := q.messages[:1]
	for _, other := range q.messages[1:] {
		if other.subject == m.subject && other.sequence < m.sequence {
			removed = append(removed, other)
		} else {
			kept = append(kept, other)
		}
	}
	clear(q.messages[len(kept):])
	q.messages = kept
	return removed
}
