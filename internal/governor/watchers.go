package governor

import (
	"context"
	"slices"
)

// maxWatchers is how many watchers with an entry are known for each governor.
const maxWatchers = 100_000

// remember keeps the entry of a watcher. Beyond maxWatchers all are read again.
func (g *governor) remember(e entry) {
	if len(g.watchers) >= maxWatchers {
		g.watchers, g.loaded = map[slotKey][]entry{}, false
		return
	}
	g.watchers[e.slotKey] = append(g.watchers[e.slotKey], e)
}

// replace removes the entries that a watcher has left behind, before it enters again. A watcher runs one job after
// the other, and enters under its own name: so when it enters, its earlier attempts and jobs are over. Such an
// entry is left if the watcher got no ack, or if it could not leave because its connection was cut.
//
// The entry stays if another connection has made it that is still open: two machines may have the same identity, for
// example copies of a virtual machine.
//
// The entries of `choria governor run` are not replaced: two such commands of a node enter under the same name.
func (s *shard) replace(ctx context.Context, stream string, next *entry) error {
	g, err := s.load(stream)
	if err != nil || g == nil {
		return err
	}
	kept := slices.DeleteFunc(g.watchers[next.slotKey], func(e entry) bool {
		if e.connection != next.connection && s.gate.isOpen(e.connection) {
			return false
		}
		failed := s.gate.removeSame(ctx, stream, &e, removedReplaced)
		if failed != nil {
			err = failed
		}
		return failed == nil
	})
	if g.watchers[next.slotKey] = kept; len(kept) == 0 {
		delete(g.watchers, next.slotKey)
	}
	if isCode(err, codeNoStream) { // it was deleted, or the store is being opened
		g.loaded, err = false, nil
	}
	return err
}

// load returns what is known of a governor, with the watchers that have entered before; nil: it does not exist.
func (s *shard) load(stream string) (*governor, error) {
	if g := s.governors[stream]; g != nil && g.loaded {
		return g, nil
	}
	var found []entry
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout) // the next attempt needs it too
	defer cancel()
	err := s.gate.each(ctx, stream, 1, func(e entry) bool {
		if e.connection != "" && e.isWatcher() {
			found = append(found, e)
		}
		return true
	})
	if isCode(err, codeNoStream) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	g := s.governor(stream)
	g.loaded, g.watchers = true, map[slotKey][]entry{}
	for _, e := range found {
		g.watchers[e.slotKey] = append(g.watchers[e.slotKey], e)
	}
	return g, nil
}

// isOpen reports whether the connection that has made an entry is open.
func (g *Gate) isOpen(connection string) bool {
	server, id := parseConnection(connection)
	return server == g.opts.Server && g.opts.IsOpen(id)
}
