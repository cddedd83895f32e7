package adapter

// lanes keep the order of each sender: only the first message of a lane is on its way to
// the stream, the later ones wait for its verdict. Senders do not wait for each other.
// It is guarded by the adapter's mutex.
type lanes struct {
	busy   map[string]*lane // of each sender that has a message on its way
	ready  []*message       // the first of their lanes, not yet on their way
	behind int              // messages that wait in lanes which move
	sated  bool             // there was enough to send, and is not yet little again
}

// lane is what waits behind a sender's message that is on its way.
type lane struct {
	behind []*message
	stuck  bool // that message is to be sent again, later
}

// Enough is ready for the stream, and little again, at these numbers of messages.
const (
	enoughReady = 2 * inFlight
	littleReady = inFlight
)

func newLanes() *lanes { return &lanes{busy: map[string]*lane{}} }

// enter puts a message behind all others of its sender.
func (l *lanes) enter(m *message) {
	if own := l.busy[m.sender]; own != nil {
		own.behind = append(own.behind, m)
		if !own.stuck {
			l.behind++
		}
		return
	}
	l.busy[m.sender] = &lane{}
	l.ready = append(l.ready, m)
}

// leave makes the next message of the sender ready: the one before it has its verdict.
func (l *lanes) leave(sender string) {
	own := l.busy[sender]
	if len(own.behind) == 0 {
		delete(l.busy, sender)
		return
	}
	l.behind--
	l.ready = append(l.ready, own.behind[0])
	own.behind[0] = nil
	own.behind = own.behind[1:]
}

// hold notes that a message which was on its way has to be sent once more, later.
func (l *lanes) hold(m *message) {
	own := l.busy[m.sender]
	own.stuck = true
	l.behind -= len(own.behind)
}

// again makes a message ready that was held.
func (l *lanes) again(m *message) {
	own := l.busy[m.sender]
	own.stuck = false
	l.behind += len(own.behind)
	l.ready = append(l.ready, m)
}

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

// hungry tells whether more messages are of use. What waits behind a message that cannot
// be stored for now does not count: senders do not wait for each other.
func (l *lanes) hungry() bool {
	switch n := len(l.ready) + l.behind; {
	case n >= enoughReady:
		l.sated = true
	case n <= littleReady:
		l.sated = false
	}
	return !l.sated
}
