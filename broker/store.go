package broker

import (
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
	// The store is reopened only if this many bytes, and this per cent of the disk, are free.
	minFree        = 4 << 20
	minFreePercent = 1
)

// storeMonitor reports faults of JetStream's store, and reopens it after a write error.
//
// A stream that could not write stays failed, whatever happens to the disk, until its store
// is opened again. Connections, file streams and consumers survive that; memory streams do
// not, and requests fail meanwhile. So it reopens the store only for a write error that
// persists, or if the store is closed already: the server closes it when it is not permitted
// to write, and it stays closed when reopening fails.
type storeMonitor struct {
	dir     string
	log     hclog.Logger
	inspect func() (problems []problem, ok bool) // ok is false if the server could not look
	space   func(dir string) (host.Space, error)
	reopen  func() error

	// Used by check alone.
	found    map[problem]sighting // in the last check
	failing  bool                 // the store is logged as not writable
	reopened time.Time            // last attempt

	mu     sync.Mutex
	faults []Fault
}

// sighting is how long checks have found a problem, without a check that did not.
type sighting struct {
	since  time.Time
	checks int
	logged bool
}

func (s sighting) again(now time.Time) sighting {
	if s.checks == 0 {
		s.since = now
	}
	s.checks++
	return s
}

func (s sighting) persists(now time.Time) bool {
	return s.checks >= minChecks && now.Sub(s.since) >= minAge
}

func newStoreMonitor(b *Broker) *storeMonitor {
	return &storeMonitor{
		dir: b.opts.Store, log: b.opts.Log,
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
			b.store.check(now)
		}
	}
}

// check inspects the store once. Only the goroutine of watchStore calls it.
func (s *storeMonitor) check(now time.Time) {
	problems, ok := s.inspect()
	if !ok {
		return
	}
	found := make(map[problem]sighting, len(problems))
	var faults []Fault
	var unwritable *problem // the first that keeps the store from being written
	reopen := false
	for _, p := range problems {
		seen := s.found[p].again(now)
		persists := seen.persists(now)
		if p.kind == otherProblem && persists && !seen.logged {
			s.log.Error("stream cannot be recovered", "directory", s.dir, "stream", p.stream, "error", p.detail,
				"hint", "restore its directory from a backup, or remove it, and restart")
			seen.logged = true
		}
		found[p] = seen
		if p.kind != otherProblem || persists { // others may be streams that are being created or deleted
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
func (s *storeMonitor) logWritable(unwritable *problem) {
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
	if !s.free().Has(minFree, minFreePercent) || now.Sub(s.reopened) < reopenInterval {
		return
	}
	s.reopened = now
	maps.DeleteFunc(s.found, func(p problem, _ sighting) bool { return p.kind != otherProblem }) // it solves them
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
	if err := b.srv.ShutdownJetStream(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	err := b.srv.EnableJetStream(&server.JetStreamConfig{
		StoreDir:     b.opts.Store, // the server appends /jetstream, as it does at start
		MaxStore:     b.js.MaxStorage,
		MaxMemory:    b.js.MaxMemory,
		SyncInterval: b.js.SyncInterval,
		Domain:       b.js.Domain,
		CompressOK:   true,
		Strict:       true,
	})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	return nil
}
