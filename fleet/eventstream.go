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

// EventQuery selects a page of stored events. Only one of the three start positions is used:
// Since if it is set, otherwise Latest if it is true, otherwise After.
type EventQuery struct {
	Latest bool      // the last Limit events
	After  uint64    // events after this sequence of the stream; 0: from the first
	Since  time.Time // events stored at or after this time
	Limit  int       // at most this many
}

// EventPage is a page of stored events, in the order of the stream.
type EventPage struct {
	Events []*Event `json:"events"`
	Last   uint64   `json:"last"` // sequence up to which the page is complete; use it as After of the next page
}

// Events returns a page of stored events. A page can have fewer than Limit events although more
// follow: messages in the stream that are not events count towards the limit. Last is the
// sequence of the last message that was read if the page is full, otherwise of the last one stored.
// Without a stream of events the page is empty.
func (f *Fleet) Events(ctx context.Context, q EventQuery) (EventPage, error) {
	page := EventPage{Events: []*Event{}}
	if !f.opts.StoreEvents {
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
	var visited int     // messages, also those that are not events
	var lastRead uint64 // sequence of the last of them
	err = read(ctx, s, q.start(), q.Limit, func(m jetstream.Msg, sequence uint64) {
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

// start returns the consumer that begins with the first message of the page.
func (q EventQuery) start() jetstream.OrderedConsumerConfig {
	if !q.Since.IsZero() {
		return jetstream.OrderedConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &q.Since,
		}
	}
	return jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: q.After + 1,
	}
}

// OnlyNew makes FollowEvents skip all events that are stored already.
const OnlyNew = math.MaxUint64

// FollowEvents calls handle for each event after a sequence, first those that are stored and then
// new ones, until handle returns an error or ctx is done; it returns that error. If the sequence
// is beyond the end of the stream, the stream was created anew, and all its events are passed.
func (f *Fleet) FollowEvents(ctx context.Context, after uint64, handle func(*Event) error) error {
	if !f.opts.StoreEvents {
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
	for handled := error(nil); ; {
		err := feed.next(ctx, func(m jetstream.Msg, sequence uint64) {
			e, err := parseEvent(m.Subject(), m.Data())
			if err != nil {
				return
			}
			e.Sequence = sequence
			handled = handle(e)
		})
		if err := errors.Join(err, handled); err != nil {
			return err
		}
	}
}

// restore reads the last events of every node and site into the registry: the states that a
// previous process announced.
func (f *Fleet) restore(ctx context.Context) error {
	if !f.opts.StoreEvents {
		return nil
	}
	s, err := f.js.Stream(ctx, contract.StreamFleet)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	siteEvents := map[string]*Event{} // the last of each site
	err = read(ctx, s, lastOfEachSubject(false), 0, func(m jetstream.Msg, _ uint64) {
		e, err := parseEvent(m.Subject(), m.Data())
		switch {
		case err != nil:
			f.logUnreadable(m.Subject(), err)
		case e.Node == "":
			siteEvents[e.Site] = e
		default:
			f.registry.restore(e)
		}
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for _, e := range siteEvents {
		if e.Event == eventStorm {
			f.registry.restoreStorm(e)
		}
	}
	return nil
}
