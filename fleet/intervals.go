package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// learnedTime is how long the registrations that learnIntervals reads were stored before the last one.
// A node with an interval of 30 minutes has stored at least two within that time.
const learnedTime = 70 * time.Minute

// storedGaps are the gaps between a node's registrations in the stream.
type storedGaps struct {
	gaps
	last time.Time // when the last registration was received
}

// learnIntervals reads from the stream how often the nodes registered before this process started. Without
// that, the interval of a node is known only after it has registered several times. With hundreds of
// thousands of nodes it takes so long that Open does not wait for it.
func (f *Fleet) learnIntervals() {
	ctx, cancel := context.WithTimeout(f.ctx, loadTimeout)
	defer cancel()
	found, err := f.readGaps(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) && f.ctx.Err() == nil {
		f.opts.Log.Warn("intervals of nodes not read", "stream", f.cfg.Stream, "error", err)
	}
	f.withRegistry(func(r *registry, now time.Time) { r.learnGaps(found, now) })
}

// readGaps returns the gaps of each node. It reads only the headers of registrations.
func (f *Fleet) readGaps(ctx context.Context) (map[string]*storedGaps, error) {
	s, err := f.js.Stream(ctx, f.cfg.Stream)
	if err != nil || s.CachedInfo().State.Msgs == 0 {
		return nil, err
	}
	since := s.CachedInfo().State.LastTime.Add(-learnedTime)
	from := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since, HeadersOnly: true,
	}
	found := map[string]*storedGaps{}
	err = f.readStored(ctx, s, from, 0, func(m jetstream.Msg, _ uint64) {
		if u, err := newUpdate(m.Subject(), m.Headers().Get); err == nil && !u.forwarded {
			addStored(found, u)
		}
	})
	return found, err
}

// addStored adds a registration to the gaps of its node.
func addStored(found map[string]*storedGaps, u update) {
	g := found[u.name]
	switch {
	case g == nil:
		found[u.name] = &storedGaps{last: u.received}
	case u.received.After(g.last):
		g.add(u.received.Sub(g.last))
		g.last = u.received
	}
}

// learnGaps adds what the stream has of each node's gaps, and updates every state. A node that was late or
// down keeps what its last event has, so that it stays so until it registers or connects.
func (r *registry) learnGaps(found map[string]*storedGaps, now time.Time) {
	for name, stored := range found {
		n := r.nodes[name]
		if n != nil && n.Restored != Late && n.Restored != Down {
			n.gaps.merge(stored.gaps)
		}
	}
	r.learning = false
	for _, n := range r.schedule.all() {
		r.updateState(n, now)
	}
}
