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

// maxPageBytes is how many bytes the events of a page have at most, as stored.
const maxPageBytes = 8 << 20

// EventPage is a page of stored events, in the order of the stream.
type EventPage struct {
	Events []*Event `json:"events"`
	Last   uint64   `json:"last"` // sequence up to which the page is complete; use it as After of the next page
}

// Events returns a page of stored events. A page can have fewer than Limit events although more
// follow: it ends at maxPageBytes, and messages that are not events count towards the limit. Last is the
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
	var visited, bytes int // messages, also those that are not events
	var lastRead uint64    // sequence of the last of them
	err = f.readStored(ctx, s, q.start(), q.Limit, func(m jetstream.Msg, sequence uint64) {
		if bytes += len(m.Data()); bytes > maxPageBytes && visited > 0 {
			return
		}
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
	if visited > 0 && (visited == q.Limit || bytes > maxPageBytes) {
		page.Last = lastRead
	}
	return page, nil
}

// start returns the consumer that begins with the first message of the page.
func (q EventQuery) start() jetstream.ConsumerConfig {
	if !q.Since.IsZero() {
		return jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &q.Since,
		}
	}
	return jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: q.After + 1,
	}
}

// OnlyNew makes FollowEvents skip all events that are stored already.
const OnlyNew = math.MaxUint64

// FollowEvents calls handle for each event after a sequence, first those that are stored and then
// new ones, until handle returns an error or ctx is done; it returns that error. If the sequence
// is beyond the end of the stream, the stream was created anew, and all its events are passed.
// It also returns an error when no further events can come: the fleet closes, or the stream is
// deleted, is sealed, or does not store events.
func (f *Fleet) FollowEvents(ctx context.Context, after uint64, handle func(*Event) error) error {
	if !f.opts.StoreEvents {
		return errors.New("events are not stored: the configuration has no stream " + contract.StreamFleet)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(f.ctx, func() { cancel(errClosed) })()
	feed, err := f.openEvents(ctx, after)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer feed.close()
	err = feed.follow(ctx, func(m jetstream.Msg, sequence uint64) error {
		e, err := parseEvent(m.Subject(), m.Data())
		if err != nil {
			return nil
		}
		e.Sequence = sequence
		return handle(e)
	}, f.eventsRefused())
	if f.ctx.Err() != nil { // what ended the feed depends on what closed first
		return errClosed
	}
	return err
}

// openEvents returns a feed of the events after a sequence, as in FollowEvents.
func (f *Fleet) openEvents(ctx context.Context, after uint64) (*feed, error) {
	s, err := f.js.Stream(ctx, contract.StreamFleet)
	if err != nil {
		return nil, err
	}
	from := jetstream.ConsumerConfig{}
	switch {
	case after == OnlyNew:
		from.DeliverPolicy = jetstream.DeliverNewPolicy
	case after > s.CachedInfo().State.LastSeq:
		from.DeliverPolicy = jetstream.DeliverAllPolicy
	default:
		from.DeliverPolicy, from.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
	}
	return f.newFeed(ctx, s, from)
}

// eventsRefused returns a function that returns an error if the stream of events is sealed, or
// when two calls in a row find that it does not store events.
func (f *Fleet) eventsRefused() func(*jetstream.StreamInfo) error {
	failed := false // in the last call
	return func(info *jetstream.StreamInfo) error {
		failing := f.outbox.failing.Load()
		switch {
		case info.Config.Sealed:
			return errSealed
		case failing && failed:
			return errRefusing
		}
		failed = failing
		return nil
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
	storms := map[string]*Event{}    // the last storm or calm of each site
	conflicts := map[string]*Event{} // the last beginning or end of a conflict of each node
	last := lastOfEachSubject(false)
	last.FilterSubject = contract.SubjectFleet + ">"
	err = f.readStored(ctx, s, last, 0, func(m jetstream.Msg, sequence uint64) {
		e, err := parseEvent(m.Subject(), m.Data())
		switch {
		case err != nil:
			f.logUnreadable(m.Subject(), err)
		case e.Event == eventStorm || e.Event == eventCalm:
			storms[e.Site] = e
		case e.Event == eventConflict || e.Event == eventConflictEnd:
			conflicts[e.Node] = e
		case e.Node == "":
			f.registry.applySiteEvent(e, position{sequence: sequence})
		default:
			f.registry.restore(e)
		}
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	f.registry.restoreLasting(storms, conflicts)
	return nil
}

// restoreLasting continues the storms and conflicts that had not ended when the previous process did. The events
// are the last of each site and node.
func (r *registry) restoreLasting(storms, conflicts map[string]*Event) {
	for _, e := range storms {
		if e.Event == eventStorm {
			r.restoreStorm(e)
		}
	}
	for _, e := range conflicts {
		if e.Event == eventConflict {
			r.restoreConflict(e)
		}
	}
}
