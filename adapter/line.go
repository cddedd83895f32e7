package adapter

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
)

// answerBytes is how long an acknowledgement may be; one that is longer makes no sense.
const answerBytes = 4 << 10

// line publishes to this appliance, over one bare connection after the other. What is
// unanswered when one ends is sent again by who waits for the answer.
type line struct {
	dial     Dial
	name     string
	subjects []string // where answers come
	links    *links
	owner    *publisher
	room     [answerBytes]byte

	current atomic.Pointer[inproc.Conn]
	mu      sync.Mutex // held while one connection takes the place of another
	closed  bool
	wg      sync.WaitGroup
}

// openLine connects; the owner is handed the answers from a goroutine of the line's own.
func (a *Adapter) openLine(owner *publisher) (*line, error) {
	l := &line{
		dial: a.wire, name: "choria adapter " + a.cfg.Name + " output", subjects: []string{owner.inbox + "*"},
		links: &a.links, owner: owner,
	}
	c, err := l.connect()
	if err != nil {
		return nil, err
	}
	l.wg.Go(func() { l.run(c) })
	return l, nil
}

// connect gives nil where the line has been closed.
func (l *line) connect() (*inproc.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil
	}
	c, err := l.dial(l.name, l.subjects, l)
	if err == nil {
		l.current.Store(c)
	}
	return c, err
}

// run reads the answers, and makes another connection when one has ended.
func (l *line) run(c *inproc.Conn) {
	for c != nil {
		ended := c.Run()
		l.current.Store(nil)
		l.owner.lost()
		var err error
		for c, err = l.connect(); err != nil; c, err = l.connect() {
			time.Sleep(redialWait)
		}
		if c != nil {
			l.links.failed(l.name, "broker", ended)
			l.links.reconnections.Add(1)
		}
	}
}

func (l *line) publish(out *output, reply string) error {
	c := l.current.Load()
	if c == nil {
		return inproc.ErrClosed
	}
	return c.Publish(out.subject, reply, out.header(), out.data())
}

func (l *line) connected() bool { return l.current.Load() != nil }

func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	c := l.current.Load()
	l.mu.Unlock()
	if c != nil {
		c.Close()
	}
	l.wg.Wait()
}

// Buffer is the same for all answers: they are read before the next one comes.
func (l *line) Buffer(size int) []byte {
	if size > len(l.room) {
		return nil
	}
	return l.room[:size]
}

// Receive takes an answer.
func (l *line) Receive(m inproc.Message) { l.owner.answered(m.Subject, readAnswer(m.Status, m.Data)) }
