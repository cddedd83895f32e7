package adapter

import (
	"fmt"
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
// whose retries let a later message of a sender overtake an earlier one.
type publisher struct {
	nc     *nats.Conn
	inbox  string
	answer *nats.Subscription

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]func(answer)
	oldest  []deadline // in the order of publishing, which is that of the deadlines too
}

type deadline struct {
	token uint64
	at    time.Time
}

func newPublisher(nc *nats.Conn) (*publisher, error) {
	p := &publisher{nc: nc, inbox: nc.NewInbox() + ".", waiting: map[uint64]func(answer){}}
	var err error
	if p.answer, err = nc.Subscribe(p.inbox+"*", p.answered); err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	// Each answer belongs to a message that is counted already: none may be dropped.
	return p, p.answer.SetPendingLimits(-1, -1)
}

// publish sends the message. Without an error, done is called once, from another goroutine.
func (p *publisher) publish(m *nats.Msg, now time.Time, done func(answer)) error {
	p.mu.Lock()
	p.last++
	token := p.last
	p.waiting[token] = done
	p.oldest = append(p.oldest, deadline{token, now.Add(answerWait)})
	p.mu.Unlock()
	m.Reply = p.inbox + strconv.FormatUint(token, 36)
	err := p.nc.PublishMsg(m)
	if err != nil {
		p.forget(token)
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

func (p *publisher) answered(m *nats.Msg) {
	token, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, p.inbox), 36, 64)
	if err == nil {
		p.settle(token, readAnswer(m))
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
