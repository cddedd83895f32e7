package governor

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

const (
	// callTimeout is how long requests to JetStream's API may take that no node waits for.
	callTimeout = 5 * time.Second
	// retryInterval is how often a shard looks for entries to remove that it could not remove before.
	retryInterval = time.Second
	// maxGovernors is how many governors a shard knows.
	maxGovernors = 1000
)

// shard lets nodes enter its share of the governors, one after the other: so everything that a governor stores
// between two acks is of an attempt that got none. Only the goroutine of run uses its fields.
type shard struct {
	gate      *Gate
	requests  chan *request
	governors map[string]*governor // by stream
}

// governor is what a shard knows of a governor.
type governor struct {
	stream   string
	last     uint64              // sequence of the last ack
	loaded   bool                // watchers has what was stored before the first attempt
	watchers map[slotKey][]entry // that may be stored still
	unknown  []unknown           // attempts that were given up
}

func newShard(g *Gate) *shard {
	return &shard{gate: g, requests: make(chan *request, maxWaiting), governors: map[string]*governor{}}
}

// run answers requests until Close.
func (s *shard) run() {
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for s.gate.open.Err() == nil {
		select {
		case <-s.gate.open.Done():
		case r := <-s.requests:
			s.gate.queue.remove(r.Message)
			s.enter(r)
		case <-ticker.C:
			s.removeUnknown()
		}
	}
	s.removeUnknown() // requests that wait get no answer
}

// governor returns what is known of a governor, and keeps it.
func (s *shard) governor(stream string) *governor {
	g := s.governors[stream]
	if g == nil {
		g = &governor{stream: stream, watchers: map[slotKey][]entry{}}
		if len(s.governors) >= maxGovernors { // most have been deleted; what is known can be read again
			for name, other := range s.governors {
				if len(other.unknown) == 0 {
					delete(s.governors, name)
				}
			}
		}
		s.governors[stream] = g
	}
	return g
}

// enter answers one request.
func (s *shard) enter(r *request) {
	deadline := answerLimit - s.gate.opts.Now().Sub(r.received)
	if deadline <= 0 {
		s.gate.fail(r.Message, outcomeLate, errUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	stream := contract.GovernorStream(r.Subject)
	e := entry{slotKey: slotKey{r.Peer.User, string(r.Data)}, connection: s.gate.connectionOf(r.Peer)}
	isWatcher := e.isWatcher() && s.gate.opts.IsNode(r.Peer.ID)
	if isWatcher {
		if err := s.replace(ctx, stream, &e); err != nil {
			s.gate.opts.Log.Debug("entry of a watcher not replaced", "stream", stream, "node", e.identity, "error", err)
			s.gate.fail(r.Message, outcomeFailed, errUnavailable)
			return
		}
	}
	answer, err := s.gate.nc.RequestMsgWithContext(ctx, &nats.Msg{
		Subject: s.gate.opts.Prefix + r.Subject, Header: e.header(), Data: r.Data,
	})
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		s.missing(ctx, r)
	case err != nil:
		s.governor(stream).giveUp(e, s.gate.opts.Now())
		s.gate.fail(r.Message, outcomeLate, errUnavailable)
	default:
		s.acked(r, e, isWatcher, answer.Data)
	}
}

// missing answers a request for which there is no private stream. If another stream stores it, that stream answers.
func (s *shard) missing(ctx context.Context, r *request) {
	var public struct {
		Total int `json:"total"`
	}
	err := s.gate.call(ctx, "STREAM.NAMES", map[string]string{"subject": r.Subject}, &public)
	switch {
	case err != nil:
		s.gate.fail(r.Message, outcomeFailed, errUnavailable)
	case public.Total > 0:
		s.gate.counts.attempt(outcomeIgnored)
	default:
		s.gate.counts.attempt(outcomeMissing)
		s.gate.answer(r.Message, noResponders(r.Subject), nil)
	}
}

// acked passes JetStream's ack on to the node, if it still waits for it.
func (s *shard) acked(r *request, e entry, isWatcher bool, data []byte) {
	var a ack
	err := json.Unmarshal(data, &a)
	if err != nil || a.Error != nil {
		outcome := outcomeFailed
		if a.Error != nil && a.Error.ErrorCode == codeFull {
			outcome = outcomeFull
		}
		s.gate.counts.attempt(outcome)
		s.gate.answer(r.Message, emptyHeader, data)
		return
	}
	e.sequence = a.Sequence
	g := s.governor(a.Stream)
	late := s.gate.opts.Now().Sub(r.received) > answerLimit
	if late || !s.gate.opts.IsOpen(r.Peer.ID) || !s.gate.answer(r.Message, emptyHeader, data) {
		s.takeBack(g, e, r, late)
	} else {
		s.gate.counts.attempt(outcomeEntered)
		if isWatcher {
			g.remember(e)
		}
	}
	g.noteAck(a.Sequence)
}

// takeBack removes the entry of a node that does not know it.
func (s *shard) takeBack(g *governor, e entry, r *request, late bool) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := s.gate.remove(ctx, g.stream, e.sequence); err != nil {
		g.giveUp(e, s.gate.opts.Now())
	} else if late {
		s.gate.counts.remove(removedLate)
	} else {
		s.gate.counts.remove(removedGone)
	}
	s.gate.fail(r.Message, outcomeLate, errUnavailable)
}
