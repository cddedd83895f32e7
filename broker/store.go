package broker

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	storeInterval = 500 * time.Millisecond
	// A problem persists once this many checks have found it in a row, over this time. It
	// takes both: checks may be far apart, when the machine was suspended, or close together.
	minChecks = 4
	minAge    = 2 * time.Second
	// reopenInterval is the minimum time between two attempts to reopen the store.
	reopenInterval = 10 * time.Second
	// The store is reopened only if this many bytes, and this percentage of the disk, are free.
	reopenMinFree        = 4 << 20
	reopenMinFreePercent = 1
)

// storeMonitor reports faults of JetStream's store, and reopens it after a write error.
//
// A stream with a write error cannot be written until the store is reopened, even if the disk can
// be written again. Connections, file streams and their consumers survive reopening; memory
// streams do not, and requests fail while the store is closed. So the monitor reopens the store
// only if a write error persists or the store is closed. The server closes the store when it has
// no permission to write, and the store stays closed when reopening fails.
type storeMonitor struct {
	dir     string
	log     hclog.Logger
	inspect func() (problems []storeProblem, ok bool) // ok is false if the server could not check
	space   func(dir string) (host.Space, error)
	reopen  func() error

	// Used by check alone.
	found    map[storeProblem]history // in the last check
	failing  bool                     // the store is logged as not writable
	reopened time.Time                // last attempt

	mu     sync.Mutex
	faults []Fault
}

// history is for how long, and by how many checks in a row, a problem has been found.
type history struct {
	since  time.Time
	checks int
	logged bool
}

// seenAgain returns the history after a check at now that found the problem.
func (h history) seenAgain(now time.Time) history {
	if h.checks == 0 {
		h.since = now
	}
	h.checks++
	return h
}

func (h history) persists(now time.Time) bool {
	return h.checks >= minChecks && now.Sub(h.since) >= minAge
}

func newStoreMonitor(b *Broker) *storeMonitor {
	return &storeMonitor{
		dir: b.opts.StoreDir, log: b.opts.Log,
		inspect: b.inspectStore, space: host.SpaceOf, reopen: b.reopenStore,
	}
}

func (b *Broker) watchStore() {
	ticker := time.NewTicker(storeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-b.quit:
			return
		case now := <-ticker.C:
			b.storeMonitor.check(now)
		}
	}
}

// check inspects the store once. Only the goroutine of watchStore calls it.
func (s *storeMonitor) check(now time.Time) {
	problems, ok := s.inspect()
	if !ok {
		return
	}
	found := make(map[storeProblem]history, len(problems))
	var faults []Fault
	var unwritable *storeProblem // the first because of which the store cannot be written
	reopen := false
	for _, p := range problems {
		seen := s.found[p].seenAgain(now)
		persists := seen.persists(now)
		if p.kind == otherProblem && persists && !seen.logged {
			s.log.Error("stream cannot be recovered", "directory", s.dir, "stream", p.stream, "error", p.detail,
				"hint", "restore its directory from a backup, or remove it, and restart")
			seen.logged = true
		}
		found[p] = seen
		if p.kind != otherProblem || persists { // a stream may be just created or deleted
			faults = append(faults, p.fault())
		}
		if p.kind != otherProblem && unwritable == nil {
			unwritable = &p
		}
		reopen = reopen || p.kind != otherProblem && persists
	}
	s.found = found
	s.setFaults(faults)
	s.logWritable(unwritable)
	if reopen {
		s.tryReopen(now)
	}
}

// logWritable logs when the store cannot be written any more, and when it can again.
func (s *storeMonitor) logWritable(unwritable *storeProblem) {
	switch {
	case unwritable == nil && s.failing:
		s.log.Info("store can be written again", "directory", s.dir)
	case unwritable != nil && !s.failing:
		s.log.Error("store cannot be written, adapters hold messages while their buffers have room",
			"directory", s.dir, "free", humanize.IBytes(s.free().Free),
			"stream", unwritable.stream, "error", unwritable.detail,
			"hint", "free space in the directory, or lower max_bytes of the streams")
	}
	s.failing = unwritable != nil
}

// free returns the space of the disk; none if it is not known.
func (s *storeMonitor) free() host.Space {
	space, err := s.space(s.dir)
	if err != nil {
		return host.Space{}
	}
	return space
}

func (s *storeMonitor) tryReopen(now time.Time) {
	if !s.free().Has(reopenMinFree, reopenMinFreePercent) || now.Sub(s.reopened) < reopenInterval {
		return
	}
	s.reopened = now
	// Reopening solves every problem except those of kind otherProblem.
	maps.DeleteFunc(s.found, func(p storeProblem, _ history) bool { return p.kind != otherProblem })
	if err := s.reopen(); err != nil {
		s.log.Error("store not reopened", "directory", s.dir, "error", err)
	}
}

func (s *storeMonitor) setFaults(faults []Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

// Faults returns what the last check found. It is safe for concurrent use.
func (s *storeMonitor) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// reopenStore closes and opens JetStream, as a restart of the process would.
func (b *Broker) reopenStore() error {
	b.storeOpen.Lock()
	defer b.storeOpen.Unlock()
	if b.opts.Reopened != nil {
		defer b.opts.Reopened() // before others may read the streams
	}
	return b.reopenLocked(func() error { return nil })
}

// reopen closes the store, calls change, and opens the store.
func (b *Broker) reopen(change func() error) error {
	b.storeOpen.Lock()
	defer b.storeOpen.Unlock()
	return b.reopenLocked(change)
}

// reopenLocked closes the store, calls change, restores damaged configurations and opens the store, even
// if change returns an error. storeOpen must be locked.
func (b *Broker) reopenLocked(change func() error) error {
	b.reopenings.Add(1)
	defer b.reopenings.Add(1)
	if err := b.srv.ShutdownJetStream(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	changed := change()
	b.restoreMeta()
	err := b.srv.EnableJetStream(&server.JetStreamConfig{
		StoreDir:     b.opts.StoreDir, // the server appends /jetstream, as it does at start
		MaxStore:     b.js.MaxStorage,
		MaxMemory:    b.js.MaxMemory,
		SyncInterval: b.js.syncInterval(),
		SyncAlways:   b.js.SyncAlways(),
		Domain:       b.js.Domain,
		CompressOK:   true,
		Strict:       true,
	})
	if err != nil {
		err = fmt.Errorf("open the store: %w", err)
	}
	return errors.Join(changed, err)
}
