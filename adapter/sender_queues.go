package adapter

// senderQueues keep the order of each sender: only the first message of a sender is published,
// the later ones wait until it has its outcome. Senders do not wait for each other. They are
// guarded by the adapter's mutex.
type senderQueues struct {
	active  map[string]*senderQueue // by sender; only senders with a message that has no outcome
	ready   []*message              // the first of their senders, to be published next
	waiting int                     // sum of len(later) over the queues that are not suspended
	paused  bool                    // conversion is paused: set at maxReady, cleared at minReady
}

// senderQueue holds the messages of one sender behind the one that is being published. It is
// suspended while that one waits for a retry.
type senderQueue struct {
	later     []*message // in order of arrival
	suspended bool
}

// Conversion pauses when maxReady messages are ready or waiting, and goes on at minReady.
const (
	maxReady = 2 * maxUnacked
	minReady = maxUnacked
)

func newSenderQueues() *senderQueues {
	return &senderQueues{active: map[string]*senderQueue{}}
}

// push appends a message to the queue of its sender, or makes it ready if its sender has no other
// message.
func (s *senderQueues) push(m *message) {
	if q := s.active[m.sender]; q != nil {
		q.later = append(q.later, m)
		if !q.suspended {
			s.waiting++
		}
		return
	}
	s.active[m.sender] = &senderQueue{}
	s.ready = append(s.ready, m)
}

// takeReady removes and returns a message to publish; nil if none is ready.
func (s *senderQueues) takeReady() *message {
	if len(s.ready) == 0 {
		return nil
	}
	m := s.ready[0]
	s.ready[0] = nil
	s.ready = s.ready[1:]
	return m
}

// advance makes the next message of a sender ready: the first has its outcome.
func (s *senderQueues) advance(sender string) {
	q := s.active[sender]
	if len(q.later) == 0 {
		delete(s.active, sender)
		return
	}
	s.waiting--
	s.ready = append(s.ready, q.later[0])
	q.later[0] = nil
	q.later = q.later[1:]
}

// suspend pauses the queue of a message that was published and waits for a retry.
func (s *senderQueues) suspend(m *message) {
	q := s.active[m.sender]
	q.suspended = true
	s.waiting -= len(q.later)
}

// resume makes a message ready whose retry is due.
func (s *senderQueues) resume(m *message) {
	q := s.active[m.sender]
	q.suspended = false
	s.waiting += len(q.later)
	s.ready = append(s.ready, m)
}

// shouldConvert reports whether more messages should be converted. Messages in suspended queues do
// not count: a sender whose message cannot be stored must not hold up the others.
func (s *senderQueues) shouldConvert() bool {
	switch n := len(s.ready) + s.waiting; {
	case n >= maxReady:
		s.paused = true
	case n <= minReady:
		s.paused = false
	}
	return !s.paused
}
