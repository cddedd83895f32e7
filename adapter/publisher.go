package adapter

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// answerWait is how long an acknowledgement may take. A stream whose disk is full never
// answers at all.
const answerWait = 5 * time.Second

// publisher publishes to JetStream and hands every answer, or that there is none, to the
// one who waits for it, exactly once. It is not nats.go's own asynchronous publishing,
// whose retries let a later message of a sender overtake an earlier one. Nor does it send
// batches, of which the stream answers only the last: it would not say which of them were
// duplicates, and which one a fault had hit.
type publisher struct {
	carrier
	inbox string // begins the subjects where answers come

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]func(answer)
	oldest  []deadline // in the order of publishing, which is that of the deadlines too
}

// carrier is a connection that lasts. Answers come back by themselves.
type carrier interface {
	publish(out *output, reply string) error
	connected() bool
	close()
}

type deadline struct {
	token uint64
	at    time.Time
}

func newPublisher() *publisher {
	return &publisher{inbox: nats.NewInbox() + ".", waiting: map[uint64]func(answer){}}
}

// send publishes the message. Without an error, done is called once, from another goroutine.
func (p *publisher) send(out *output, now time.Time, done func(answer)) error {
	p.mu.Lock()
	p.last++
	token := p.last
	p.waiting[token] = done
	p.oldest = append(p.oldest, deadline{token, now.Add(answerWait)})
	p.mu.Unlock()
	err := p.publish(out, p.inbox+strconv.FormatUint(token, 36))
	if err != nil && p.forget(token) == nil {
		return nil // done has been called: the connection ended in between
	}
	return err
}

// forget gives back who waits for the token's answer, if it has not been given before.
func (p *publisher) forget(token uint64) func(answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := p.waiting[token]
	delete(p.waiting, token)
	return done
}

// answered takes what has come to one of the subjects.
func (p *publisher) answered(subject string, a answer) {
	if token, err := strconv.ParseUint(strings.TrimPrefix(subject, p.inbox), 36, 64); err == nil {
		p.settle(token, a)
	}
}

// settle gives the answer to whoever waits; a late second one finds nobody.
func (p *publisher) settle(token uint64, a answer) {
	if done := p.forget(token); done != nil {
		done(a)
	}
}

// expire tells those who have waited too long that there is no answer.
func (p *publisher) expire(now time.Time) {
	for _, token := range p.overdue(now) {
		p.settle(token, answer{err: errNoAnswer})
	}
}

// lost tells everybody who waits that there is no answer: the connection has ended.
func (p *publisher) lost() {
	p.mu.Lock()
	tokens := slices.Sorted(maps.Keys(p.waiting))
	p.mu.Unlock()
	for _, token := range tokens {
		p.settle(token, answer{err: errNoAnswer})
	}
}

func (p *publisher) overdue(now time.Time) []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var tokens []uint64
	for len(p.oldest) > 0 {
		first := p.oldest[0]
		_, waits := p.waiting[first.token]
		if waits && now.Before(first.at) {
			break
		}
		if waits {
			tokens = append(tokens, first.token)
		}
		p.oldest = p.oldest[1:]
	}
	return tokens
}
