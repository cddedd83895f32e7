package forward

import (
	"crypto/sha256"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
)

// decision is what happens to a message.
type decision int

const (
	forwardIt      decision = iota
	leaveUnchanged          // the hub has the same facts, and no full copy is due
	leaveSampled            // the hub has a registration of the interval
)

// maxRemembered is how many senders a selector remembers; the messages of others are forwarded. It takes about 250
// bytes for each.
const maxRemembered = 500_000

// selector decides which registrations of a stream are forwarded, by the mode of the stream. It has no I/O and no
// clock. It is safe for concurrent use, but the messages of one sender must be decided one after the other: the next
// one when the one before has its outcome.
type selector struct {
	mode     string
	interval time.Duration
	volatile choria.Volatile

	hashing  sync.Mutex // guards the digester
	digester choria.Digester

	mu    sync.Mutex // guards the fields below; acks do not wait for a digest
	last  map[registrant]*lastCopy
	swept time.Time // when old entries were last removed
}

// registrant is a sender on a subject. A sender may have several: each is the subject of other messages at the hub.
type registrant struct{ sender, subject string }

// digest is the digest of a registration; zero if it cannot be read.
type digest [sha256.Size]byte

func (d digest) isZero() bool { return d == digest{} }

// lastCopy is what the hub has of a registrant.
type lastCopy struct {
	digest    digest    // of what the hub has acknowledged; zero, too, if that is nothing
	candidate digest    // of what is on its way
	due       time.Time // of the next one, even if it is unchanged
}

// newSelector returns a selector for a stream. volatile are the facts that do not count as a change.
func newSelector(cfg *Stream, volatile []string) *selector {
	return &selector{
		mode: cfg.Mode, interval: cfg.Interval, volatile: volatile, last: map[registrant]*lastCopy{},
	}
}

// decide returns what happens to a message. Messages that are not registrations are forwarded, and so are
// registrations that cannot be read.
func (s *selector) decide(m *message, now time.Time) decision {
	if s.mode == ModeAll || m.header.Get(contract.HeaderSender) == "" {
		return forwardIt
	}
	var d digest
	if s.mode == ModeChanged {
		d = s.digest(m)
	}
	key := registrant{m.sender, m.subject}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.last[key]
	switch {
	case c == nil && len(s.last) >= maxRemembered:
		return forwardIt
	case c == nil:
		c = &lastCopy{due: now}
		s.last[key] = c
	case s.isDue(c, now):
	case s.mode == ModeSampled:
		return leaveSampled
	case c.digest == d && !d.isZero():
		return leaveUnchanged
	}
	c.candidate = d
	return forwardIt
}

// digest returns the digest of a registration; a zero one if it cannot be read.
func (s *selector) digest(m *message) digest {
	s.hashing.Lock()
	defer s.hashing.Unlock()
	d, err := s.digester.Digest(m.header.Get(contract.HeaderContent), m.data, s.volatile)
	if err != nil {
		return digest{}
	}
	return d
}

// isDue reports whether a registration is forwarded although nothing changed. One that is due only after more than an
// interval is due too: the clock was set back.
func (s *selector) isDue(c *lastCopy, now time.Time) bool {
	return !now.Before(c.due) || c.due.Sub(now) > s.interval
}

// forwarded notes that the hub has acknowledged the message for which decide was last called for its sender.
func (s *selector) forwarded(m *message, now time.Time) {
	if s.mode == ModeAll || m.header.Get(contract.HeaderSender) == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.forget(now)
	key := registrant{m.sender, m.subject}
	c := s.last[key]
	if c == nil {
		return
	}
	first := c.digest.isZero()
	c.digest, c.candidate = c.candidate, digest{}
	c.due = now.Add(s.interval)
	if s.mode == ModeChanged && first {
		c.due = now.Add(time.Duration((1 - share(key)) * float64(s.interval)))
	}
}

// share returns a number from 0 up to 1 for a registrant, the same each time. It takes that part off the time until
// the second copy, so that the full copies of all nodes do not come at once for ever: after a start, the first copies
// do. The copies after that come at intervals, so they cost no more.
func share(key registrant) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key.sender))
	_, _ = h.Write([]byte(key.subject))
	return float64(h.Sum32()) / (math.MaxUint32 + 1)
}

// forget removes, once in an interval, the entries of senders of which nothing was forwarded for two intervals.
func (s *selector) forget(now time.Time) {
	if age := now.Sub(s.swept); age >= 0 && age < s.interval {
		return
	}
	s.swept = now
	for key, c := range s.last {
		if now.Sub(c.due) > s.interval || c.due.Sub(now) > s.interval {
			delete(s.last, key)
		}
	}
}
