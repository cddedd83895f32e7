package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats.go/jetstream"
)

// subjectsForwarded matches the events that edges forward.
const subjectsForwarded = contract.SubjectSites + "*." + contract.SubjectFleet + ">"

// updateSites makes the sites of the view those that may forward here. If there are new ones, their events are read.
func (f *Fleet) updateSites() {
	if f.opts.SiteEdges == nil {
		return
	}
	edges := f.opts.SiteEdges()
	names := make(map[string]bool, len(edges))
	for _, name := range edges {
		names[name] = true
	}
	f.edgeNames.Store(&names)
	added := false
	f.withRegistry(func(r *registry, now time.Time) { added = r.setSites(edges, now) })
	if !added {
		return
	}
	select {
	case f.sitesAdded <- struct{}{}:
	default:
	}
}

// isEdge reports whether a connection under a name may be one of an edge.
func (f *Fleet) isEdge(name string) bool {
	names := f.edgeNames.Load()
	return names != nil && (*names)[name]
}

// followForwarded reads the last events that edges have forwarded, and starts to follow new ones.
func (f *Fleet) followForwarded(ctx context.Context) error {
	if f.opts.SiteEdges == nil || !f.opts.StoreEvents {
		return nil
	}
	var fd *feed
	err := retryGaps(func() (err error) {
		fd, err = f.openForwarded(ctx)
		return err
	})
	if err != nil && ctx.Err() == nil {
		f.logNotRead(contract.StreamFleet, err) // keepForwarded tries again
	}
	f.wg.Go(func() { f.keepForwarded(fd) })
	return nil
}

// openForwarded returns a feed of new events of sites, after it has read the last ones; nil if no site is listed.
func (f *Fleet) openForwarded(ctx context.Context) (*feed, error) {
	select {
	case <-f.sitesAdded: // their events are read now
	default:
	}
	listed := false
	f.withRegistry(func(r *registry, _ time.Time) { listed = len(r.remotes) > 0 })
	if !listed {
		return nil, nil
	}
	s, err := f.js.Stream(ctx, contract.StreamFleet)
	if err != nil {
		return nil, err
	}
	stores := f.hasForwarded(s.CachedInfo().Config.Subjects)
	f.storesForwarded.Store(stores)
	if !stores {
		return nil, errNoForwarded
	}
	last := lastOfEachSubject(false)
	last.FilterSubject = subjectsForwarded
	fd, err := f.newFeed(ctx, s, last)
	if err != nil {
		return nil, err
	}
	created := s.CachedInfo().Created
	f.withRegistry(func(r *registry, _ time.Time) { r.readsEventsOf(created) })
	if err := fd.catchUp(ctx, 0, f.handleForwarded); err != nil {
		fd.close()
		return nil, err
	}
	return fd, nil
}

// errNoForwarded is why forwarded events are not read.
var errNoForwarded = errors.New("the stream does not have the subject " + subjectsForwarded)

// hasForwarded reports whether a stream with these subjects stores forwarded events.
func (f *Fleet) hasForwarded(subjects []string) bool {
	stored := subjectsForwarded
	if f.opts.PublishPrefix != nil {
		stored = f.opts.PublishPrefix(strings.Replace(stored, "*", "x", 1)) + stored
	}
	return slices.ContainsFunc(subjects, func(s string) bool {
		return subject.Overlap(s, stored) || subject.Overlap(s, subjectsForwarded)
	})
}

// emitStored passes an event to the outbox, unless the stream of events would not store it.
func (f *Fleet) emitStored(e *Event) {
	if e.correction == nil || f.storesForwarded.Load() {
		f.outbox.put(e)
	}
}

// readsEventsOf notes when the stream was created whose events are applied from now on. The sequences of another
// stream say nothing about them.
func (r *registry) readsEventsOf(created time.Time) {
	if r.eventsCreated.Equal(created) {
		return
	}
	r.eventsCreated = created
	for _, s := range r.remotes {
		s.judged = 0
		for _, nodes := range []map[string]*node{s.nodes, s.hidden} {
			for _, n := range nodes {
				n.remote.sequence = 0
			}
		}
	}
}

// keepForwarded reads events of sites until the fleet closes. When the feed ended (fd is nil) or sites were added,
// it starts again with the last ones.
func (f *Fleet) keepForwarded(fd *feed) {
	for f.ctx.Err() == nil {
		var err error
		if fd == nil {
			fd, err = f.openForwarded(f.ctx)
		}
		if fd != nil {
			f.opts.Log.Debug("forwarded events are read anew", "error", f.followUntilAdded(fd))
			fd.close()
			fd = nil
			continue
		}
		if err != nil && f.ctx.Err() == nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			f.logNotRead(contract.StreamFleet, err)
		}
		select {
		case <-f.ctx.Done():
		case <-f.sitesAdded:
		case <-time.After(followRetryDelay):
		}
	}
}

// errSitesAdded is why a feed of forwarded events ends when there are new sites.
var errSitesAdded = errors.New("sites were added")

// followUntilAdded follows events until the feed ends or sites are added, and returns why.
func (f *Fleet) followUntilAdded(fd *feed) error {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	f.wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-f.sitesAdded:
			cancel(errSitesAdded)
		}
	})
	return fd.follow(ctx, func(m jetstream.Msg, sequence uint64) error {
		f.handleForwarded(m, sequence)
		return nil
	}, func(*jetstream.StreamInfo) error { return nil })
}

// handleForwarded applies a forwarded event.
func (f *Fleet) handleForwarded(m jetstream.Msg, sequence uint64) {
	e, err := parseEvent(m.Subject(), m.Data())
	if err != nil {
		f.logUnreadable(m.Subject(), err)
		return
	}
	at := position{sequence: sequence, source: parseSource(m.Headers().Get(contract.HeaderSource))}
	f.withRegistry(func(r *registry, now time.Time) { r.applyForwarded(e, at, now) })
}
