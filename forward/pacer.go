package forward

import (
	"sync"
	"time"
)

const (
	// minPaced and firstPaced are how many bytes may be on their way on a slow link, and on a new one.
	minPaced   = 64 << 10
	firstPaced = 256 << 10
	maxPaced   = 64 << 20
	// slowAck is how long an ack may take until fewer bytes may be on their way.
	slowAck = 1500 * time.Millisecond
	// paceInterval is how often the limit is lowered at most.
	paceInterval = time.Second
)

// pacer limits what is on its way on a link: messages to the window, and bytes to what the link carries in about a
// second. More would fill queues on the way, in which events and probes would wait too.
type pacer struct {
	wake func() // called when there may be room

	mu       sync.Mutex
	window   int // messages
	messages int // on their way
	bytes    int // on their way
	limit    int // of bytes
	lowered  time.Time
}

func newPacer(window int, wake func()) *pacer {
	return &pacer{window: window, limit: firstPaced, wake: wake}
}

// take reports whether a message may be published, which is on its way then. One may always be.
func (p *pacer) take(bytes int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.messages >= p.window || p.messages > 0 && p.bytes+bytes > p.limit {
		return false
	}
	p.messages++
	p.bytes += bytes
	return true
}

// release ends the way of a message. took is how long its ack took; zero: there was none.
func (p *pacer) release(bytes int, took time.Duration, now time.Time) {
	p.mu.Lock()
	p.messages--
	p.bytes -= bytes
	switch {
	case took == 0:
	case took < slowAck:
		p.limit = min(p.limit+bytes, maxPaced)
	case now.Sub(p.lowered) >= paceInterval:
		p.limit = max(p.limit/2, minPaced)
		p.lowered = now
	}
	p.mu.Unlock()
	p.wake()
}
