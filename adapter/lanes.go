package adapter

// lanes keep the order of each sender: only the first message of a lane is on its way to
// the stream, the later ones wait for its verdict. Senders do not wait for each other.
// It is guarded by the adapter's mutex.
type lanes struct {
	waiting map[string][]*message // for each sender that has a message on its way
	ready   []*message            // the first of their lanes, not yet on their way
	sated   bool                  // there were enough of them, and are not yet few again
}

// Enough messages are ready to be sent, and few again, at these numbers.
const (
	enoughReady = inFlight
	fewReady    = inFlight / 2
)

// hungry tells whether more messages should be made ready. One that waits behind another of
// its sender does not count: senders do not wait for each other.
func (l *lanes) hungry() bool {
	switch n := len(l.ready); {
	case n >= enoughReady:
		l.sated = true
	case n <= fewReady:
		l.sated = false
	}
	return !l.sated
}

func newLanes() *lanes { return &lanes{waiting: map[string][]*message{}} }

// enter puts a message behind all others of its sender.
func (l *lanes) enter(m *message) {
	behind, busy := l.waiting[m.sender]
	if busy {
		l.waiting[m.sender] = append(behind, m)
		return
	}
	l.waiting[m.sender] = nil
	l.ready = append(l.ready, m)
}

// leave makes the next message of the sender ready: the one before it has its verdict.
func (l *lanes) leave(sender string) {
	behind := l.waiting[sender]
	if len(behind) == 0 {
		delete(l.waiting, sender)
		return
	}
	l.ready = append(l.ready, behind[0])
	behind[0] = nil
	l.waiting[sender] = behind[1:]
}

// again makes a message ready that was on its way and has to be sent once more.
func (l *lanes) again(m *message) { l.ready = append(l.ready, m) }

// next is a message that may be sent now, or nil.
func (l *lanes) next() *message {
	if len(l.ready) == 0 {
		return nil
	}
	m := l.ready[0]
	l.ready[0] = nil
	l.ready = l.ready[1:]
	return m
}
