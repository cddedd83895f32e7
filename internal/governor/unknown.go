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
	maxUnknown = 1000
	// removeTimeout is how long a shard looks before it answers requests again.
	removeTimeout = 500 * time.Millisecond
	// maxEntries is how many entries of a governor are read at once.
	maxEntries = 10_000
)

// unknown is an attempt that the node has given up, and whose entry may be stored: its ack is missing, or its entry
// could not be removed. The stream stores what a shard publishes in order, and nothing else. So the entry is after
// that of the last ack before the attempt, before that of the next ack, and the only one in between that has these
// headers.
type unknown struct {
	entry         // the sequence is 0 if the ack is missing
	after  uint64 // sequence of the last ack before the attempt
	before uint64 // sequence of the next ack; 0: there is none yet
	since  time.Time
}

// giveUp keeps an attempt, to remove its entry later.
func (g *governor) giveUp(e entry, now time.Time) {
	if len(g.unknown) < maxUnknown {
		g.unknown = append(g.unknown, unknown{entry: e, after: g.last, since: now})
	}
}

// noteAck notes the sequence of an entry.
func (g *governor) noteAck(sequence uint64) {
	if sequence <= g.last { // the stream was deleted and created again
		g.unknown, g.loaded = nil, false
	}
	for i := range g.unknown {
		if g.unknown[i].before == 0 {
			g.unknown[i].before = sequence
		}
	}
	g.last = sequence
}

// removeUnknown removes the entries of attempts that were given up. What it does not find or cannot remove, it
// tries again until the attempt is unknownAge old.
func (s *shard) removeUnknown() {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	oldest := s.gate.opts.Now().Add(-unknownAge)
	for _, g := range s.governors {
		g.unknown = slices.DeleteFunc(g.unknown, func(u unknown) bool {
			done, err := s.gate.removeGivenUp(ctx, g.stream, &u)
			if err != nil {
				s.gate.opts.Log.Debug("entry not removed", "stream", g.stream, "identity", u.identity, "error", err)
			}
			return err == nil && done || u.since.Before(oldest)
		})
	}
}

// removeGivenUp removes the entry of an attempt, and reports whether it is certain that there is none any more.
func (g *Gate) removeGivenUp(ctx context.Context, stream string, u *unknown) (done bool, err error) {
	if u.sequence > 0 {
		return true, g.removeSame(ctx, stream, &u.entry, removedLate)
	}
	found := u.entry
	err = g.each(ctx, stream, u.after+1, func(e entry) bool {
		if u.before > 0 && e.sequence >= u.before {
			return false
		}
		if e.slotKey == u.slotKey && e.connection == u.connection {
			found = e
		}
		return found.sequence == 0
	})
	if err != nil || found.sequence == 0 {
		return u.before > 0, err
	}
	return true, g.removeSame(ctx, stream, &found, removedLate)
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

// removeSame removes an entry, unless there is another one or none at its sequence.
func (g *Gate) removeSame(ctx context.Context, stream string, e *entry, reason string) error {
	stored, err := g.next(ctx, stream, e.sequence)
	if err != nil || stored == nil || *stored != *e {
		return err
	}
	if err = g.remove(ctx, stream, e.sequence); err == nil {
		g.counts.remove(reason)
	}
	return err
}
