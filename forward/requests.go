package forward

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// requests are the requests of a link that have no answer yet. They are safe for concurrent use.
type requests struct {
	mu      sync.Mutex
	last    uint64 // token of the last one
	pending map[uint64]*request
	order   []uint64 // tokens in the order of sending; some have their answer
}

// request is a request to the hub.
type request struct {
	subject string
	sent    time.Time
	done    func(reply) // called once
}

// reply is the answer to a request, or the error of a request without an answer.
type reply struct {
	status string // of a message without data: an error of NATS, such as 503
	header nats.Header
	data   []byte
	took   time.Duration
	err    error
}

// add adds a request, and returns the token by which its answer is known.
func (r *requests) add(q *request) (token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.pending[r.last] = q
	r.order = append(r.order, r.last)
	return strconv.FormatUint(r.last, 36)
}

// take removes and returns a request; nil if it has its answer.
func (r *requests) take(token string) *request {
	number, err := strconv.ParseUint(token, 36, 64)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.pending[number]
	delete(r.pending, number)
	return q
}

// all removes and returns all requests in their order.
func (r *requests) all() (all []*request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range slices.Sorted(maps.Keys(r.pending)) {
		all = append(all, r.pending[token])
	}
	clear(r.pending)
	r.order = nil
	return all
}

// on removes and returns the requests on a subject.
func (r *requests) on(subject string) (found []*request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for token, q := range r.pending {
		if q.subject == subject {
			found = append(found, q)
			delete(r.pending, token)
		}
	}
	return found
}

// overdue removes and returns the requests that have waited too long for their answer. idle is how long ago the last
// answer to any request arrived.
func (r *requests) overdue(now time.Time, idle time.Duration) (over []*request) {
	wait := answerWait
	if idle < answerWait/2 {
		wait = maxAnswerWait
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.order) > 0 {
		q, waits := r.pending[r.order[0]]
		if waits && now.Sub(q.sent) < wait {
			break
		}
		if waits {
			over = append(over, q)
			delete(r.pending, r.order[0])
		}
		r.order = r.order[1:]
	}
	return over
}
