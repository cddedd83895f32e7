package governor

import (
	"context"
	"slices"
	"time"
)

const (
	// unknownAge is how long a shard looks for the entry of an attempt without ack.
	unknownAge = 5 * time.Minute
	// maxUnknown is how many such attempts are known for each governor.
	maxUnknown = 10_000
	// maxEntries is how many entries of a governor are read at once.
	maxEntries = 10_000
)

// unknown is an attempt that the node has given up, and whose entry may be stored: its ack is missing (sequence
// is 0), or its entry could not be removed.
type unknown struct {
	entry
	since time.Time
}

// giveUp keeps an attempt, to remove its entry later.
func (g *governor) giveUp(e entry, now time.Time) {
	if len(g.unknown) < maxUnknown {
		g.unknown = append(g.unknown, unknown{e, now})
	}
}

// takeUnknown reports whether an entry is of an attempt without ack, and removes that attempt from the list.
func (g *governor) takeUnknown(e *entry) bool {
	i := slices.IndexFunc(g.unknown, func(u unknown) bool {
		return u.sequence == 0 && u.slotKey == e.slotKey && u.connection == e.connection
	})
	if i >= 0 {
		g.unknown = slices.Delete(g.unknown, i, i+1)
	}
	return i >= 0
}

// noteAck notes the sequence of an entry. What was stored between the last ack and this one is of attempts without
// ack.
func (s *shard) noteAck(g *governor, sequence uint64) {
	if sequence <= g.last { // the stream was deleted and created again
		g.last, g.loaded, g.watchers = 0, false, map[slotKey][]entry{}
	}
	if len(g.unknown) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		s.removeWithoutAck(ctx, g, sequence)
	}
	g.last = sequence
}

// removeWithoutAck removes the entries of attempts without ack that were stored after the last ack and before a
// sequence.
func (s *shard) removeWithoutAck(ctx context.Context, g *governor, before uint64) {
	err := s.gate.each(ctx, g.stream, g.last+1, func(e entry) bool {
		if e.sequence >= before {
			return false
		}
		if g.takeUnknown(&e) {
			g.giveUp(e, s.gate.opts.Now()) // now with its sequence
		}
		return true
	})
	if err != nil {
		s.gate.opts.Log.Debug("entries not read", "stream", g.stream, "error", err)
	}
	g.unknown = slices.DeleteFunc(g.unknown, func(u unknown) bool {
		return u.sequence > 0 && s.gate.removeSame(ctx, g.stream, &u.entry, removedLate) == nil
	})
}

// removeUnknown looks for the entries of all attempts that were given up.
func (s *shard) removeUnknown() {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	for _, g := range s.governors {
		if len(g.unknown) == 0 {
			continue
		}
		s.removeWithoutAck(ctx, g, ^uint64(0))
		oldest := s.gate.opts.Now().Add(-unknownAge)
		g.unknown = slices.DeleteFunc(g.unknown, func(u unknown) bool { return u.since.Before(oldest) })
	}
}

// each calls visit with the entries of a stream from a sequence on, at most maxEntries, until it returns false.
func (g *Gate) each(ctx context.Context, stream string, from uint64, visit func(entry) bool) error {
	for range maxEntries {
		e, err := g.next(ctx, stream, from)
		if err != nil || e == nil || !visit(*e) {
			return err
		}
		from = e.sequence + 1
	}
	return nil
}

// removeSame removes an entry, unless there is another one or none at its sequence. JetStream's errors mean that
// there is none.
func (g *Gate) removeSame(ctx context.Context, stream string, e *entry, reason string) error {
	stored, err := g.next(ctx, stream, e.sequence)
	if err == nil && stored != nil && *stored == *e {
		if err = g.remove(ctx, stream, e.sequence); err == nil {
			g.counts.remove(reason)
		}
	}
	if isRefused(err) {
		err = nil
	}
	return err
}
