package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

// EventQuery is a page of stored events.
type EventQuery struct {
	Latest bool      // the latest; otherwise
	After  uint64    // those after this sequence of the stream,
	Since  time.Time // or those stored from then on
	Limit  int       // at most so many
}

// EventPage is some of the stored events.
type EventPage struct {
	Events []*Event `json:"events"`
	Last   uint64   `json:"last"` // sequence up to which they are all that there are; what follows is after it
}

// Events are stored events, in their order.
func (f *Fleet) Events(ctx context.Context, q EventQuery) (EventPage, error) {
	page := EventPage{Events: []*Event{}}
	if !f.o.StoreEvents {
		return page, nil
	}
	s, err := f.js.Stream(ctx, contract.StreamFleet)
	if err != nil {
		return page, fmt.Errorf("read events: %w", err)
	}
	state := s.CachedInfo().State
	page.Last = state.LastSeq
	if q.Latest && state.LastSeq > uint64(q.Limit) {
		q.After = state.LastSeq - uint64(q.Limit)
	}
	if state.Msgs == 0 || q.After >= state.LastSeq || q.Since.After(state.LastTime) {
		return page, nil
	}
	from := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: q.After + 1}
	if !q.Since.IsZero() {
		from = jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &q.Since}
	}
	var visited int     // messages, also those that are not events
	var lastRead uint64 // sequence of the last of them
	err = read(ctx, s, from, q.Limit, func(m jetstream.Msg, sequence uint64) {
		visited++
		lastRead = sequence
		if e, err := parseEvent(m.Subject(), m.Data()); err == nil {
			e.Sequence = sequence
			page.Events = append(page.Events, e)
		}
	})
	if err != nil {
		return page, fmt.Errorf("read events: %w", err)
	}
	page.Last = max(page.Last, lastRead) // events may be stored while the page is read
	if visited > 0 && visited == q.Limit {
		page.Last = lastRead
	}
	return page, nil
}

// OnlyNew is the sequence after which only those events follow that are not stored yet.
const OnlyNew = math.MaxUint64

// FollowEvents hands over the events after a sequence, and goes on until it is not wanted any
// more. Where the stream was made anew, and the sequence is none of it yet, it begins with
// the first.
func (f *Fleet) FollowEvents(ctx context.Context, after uint64, take func(*Event) error) error {
	if !f.o.StoreEvents {
		return errors.New("events are not stored: the configuration has no stream " + contract.StreamFleet)
	}
	s, err := f.js.Stream(ctx, contract.StreamFleet)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	from := jetstream.OrderedConsumerConfig{}
	switch {
	case after == OnlyNew:
		from.DeliverPolicy = jetstream.DeliverNewPolicy
	case after > s.CachedInfo().State.LastSeq:
		from.DeliverPolicy = jetstream.DeliverAllPolicy
	default:
		from.DeliverPolicy, from.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
	}
	feed, err := newFeed(ctx, s, from)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer feed.messages.Stop()
	for taken := error(nil); ; {
		err := feed.next(ctx, func(m jetstream.Msg, sequence uint64) {
			e, err := parseEvent(m.Subject(), m.Data())
			if err != nil {
				return
			}
			e.Sequence = sequence
			taken = take(e)
		})
		if err := errors.Join(err, taken); err != nil {
			return err
		}
	}
}
