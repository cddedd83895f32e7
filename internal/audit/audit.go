// Package audit records what is done with administrator's rights: by which identity, from which address, and
// with which outcome. Each record is logged and stored in a stream. Repeats are merged, so that a flood of
// actions makes few records; each action is counted in exactly one of them.
//
// The package does not decide which actions are recorded, and does not connect to the stream.
package audit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
)

const (
	// maxQueue is how many records may wait for the stream; further ones are only logged.
	maxQueue = 1000
	// storeTimeout is how long the stream may take to acknowledge a record.
	storeTimeout = 5 * time.Second
	// tickInterval is how often merged records are looked at, and the pause before a record is stored again.
	tickInterval = time.Second
	// failureInterval is the minimum time between two log lines about records that are not stored.
	failureInterval = time.Minute
)

// Options is what the appliance hands to the Log. All fields are required, except Store.
type Options struct {
	Now func() time.Time
	Log hclog.Logger
	// Secrets returns texts that no record may contain, none of them empty. It is called once, by Open.
	Secrets func() []string
	// Store stores a record and returns nil once that is acknowledged. A record may be stored again under
	// the same sequence, if the acknowledgement did not arrive. Store is nil if there is no stream.
	Store func(ctx context.Context, sequence uint64, r Record) error
}

// Log takes records. Its methods are safe for concurrent use, except that nothing may be added before Open
// has returned.
type Log struct {
	opts     Options
	secrets  []string
	failures *throttle.Throttle

	mu     sync.Mutex
	merger *merger
	queue  []queued // that is not stored yet
	last   uint64   // sequence of the last record
	closed bool

	recorded   atomic.Uint64 // actions whose records are stored
	unrecorded atomic.Uint64 // actions whose records are only in the log

	wake   chan struct{}   // has an element when the queue may have records
	ctx    context.Context // done once Close is called
	cancel context.CancelFunc
	once   sync.Once
	wg     sync.WaitGroup
}

type queued struct {
	sequence uint64
	record   Record
}

// New returns a Log that is not open.
func New(o Options) *Log {
	l := &Log{
		opts: o, failures: throttle.New(failureInterval), merger: newMerger(), wake: make(chan struct{}, 1),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Open starts to store records.
func (l *Log) Open(context.Context) error {
	l.secrets = l.opts.Secrets()
	l.wg.Go(l.run)
	return nil
}

// Add records an action. It sets Time and Count, and does not wait.
func (l *Log) Add(r Record) {
	r = r.bounded(l.secrets)
	r.Time, r.Since, r.Count = l.opts.Now().UTC(), time.Time{}, 1
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.merger.add(r) {
		l.write(r)
	}
}

// write logs a record and queues it for the stream. The mutex is held.
func (l *Log) write(r Record) {
	l.opts.Log.Info("administrator's action", "action", r.Action, "stream", r.Stream, "identity", r.Identity,
		"address", r.Address, "connection", r.Connection, "name", r.Name, "proof", r.Proof, "count", r.Count,
		"error", r.Error)
	if l.opts.Store == nil || l.closed || len(l.queue) >= maxQueue {
		l.unrecorded.Add(r.Count)
		return
	}
	l.last++
	l.queue = append(l.queue, queued{l.last, r})
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run stores records until Close.
func (l *Log) run() {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		stored := l.storeQueue(l.ctx)
		wake := l.wake
		if !stored {
			wake = nil // not before the next tick
		}
		select {
		case <-l.ctx.Done():
			return
		case <-wake:
		case <-ticker.C:
			l.writeMerged(false)
		}
	}
}

// writeMerged writes the merged records whose time has come, or all of them.
func (l *Log) writeMerged(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.merger.due(l.opts.Now().UTC(), all) {
		l.write(r)
	}
}

// storeQueue stores the records that wait, in order. It returns false when one could not be stored.
func (l *Log) storeQueue(ctx context.Context) bool {
	for {
		next, waiting := l.first()
		if waiting == 0 {
			return true
		}
		limited, cancel := context.WithTimeout(ctx, storeTimeout)
		err := l.opts.Store(limited, next.sequence, next.record)
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return false
			}
			if _, log := l.failures.Add("", 1, l.opts.Now()); log {
				l.opts.Log.Warn("audit records not stored; they wait and are retried", "pending", waiting, "error", err)
			}
			return false
		}
		l.recorded.Add(next.record.Count)
		l.mu.Lock()
		l.queue = l.queue[1:]
		l.mu.Unlock()
	}
}

// first returns the record that is stored next, and how many wait.
func (l *Log) first() (queued, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue = nil
		return queued{}, 0
	}
	return l.queue[0], len(l.queue)
}

// Counts returns how many actions have a record in the stream, and how many are only in the log. Actions
// whose records wait are in neither.
func (l *Log) Counts() (recorded, unrecorded uint64) { return l.recorded.Load(), l.unrecorded.Load() }

// Close writes what is merged, and stores what waits until the context is done or that fails. What is then
// left is only in the log, and so is what is added later. It always returns nil. It may be called twice, and
// before Open.
func (l *Log) Close(ctx context.Context) error {
	l.once.Do(func() {
		l.cancel()
		l.wg.Wait()
		l.writeMerged(true)
		l.storeQueue(ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closed = true
		for _, q := range l.queue {
			l.unrecorded.Add(q.record.Count)
		}
		if len(l.queue) > 0 {
			l.opts.Log.Warn("audit records not stored; only the log has them", "lost", len(l.queue))
		}
		l.queue = nil
	})
	return nil
}
