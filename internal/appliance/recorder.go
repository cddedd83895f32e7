package appliance

import (
	"errors"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/integrity"
)

const (
	// minSettle is how old a state is at least when it is recorded: the server writes the positions
	// of consumers 100 ms later.
	minSettle = 250 * time.Millisecond
	// The streams are read and compared after twice the store's sync interval, within these bounds.
	minReadInterval = 100 * time.Millisecond
	maxReadInterval = 2 * time.Second
)

// recorder keeps the record of the streams: what it claims was on the disk when it was written. It
// compares the streams with it at start, after each reopening of the store, and with their last
// state all the time, and keeps what it finds until the operator accepts it.
type recorder struct {
	path     string
	settle   time.Duration // after this time, what the server has stored is synced
	interval time.Duration // between two ticks
	log      hclog.Logger

	// Set by the appliance before start.
	streams func() (streams []integrity.Stream, ok bool)
	skipTo  func(map[string]broker.Position) error
	gaps    func(stream string) (integrity.Ranges, error) // sequences that a stream does not have

	restored restored
	reopened atomic.Bool   // the store was reopened, and the streams were not compared since
	wake     chan struct{} // has an element when reopened was set
	base     atomic.Pointer[[]integrity.Stream]
	open     atomic.Pointer[[]integrity.Finding]

	mu          sync.Mutex
	record      *integrity.Record // as in the file
	live        *integrity.Record // the last states
	pending     *integrity.Record // states to record at pendingAt+settle; nil: none
	pendingAt   time.Time
	suspects    map[string]bool            // streams that lacked messages in the last tick; the API may explain it
	changes     map[*change]bool           // requests that JetStream has not answered
	touched     map[string]bool            // streams that requests may have changed since tick began to read
	recovered   []integrity.Stream         // as the server found them on the disk
	noRecord    bool                       // there was no file at start
	unrecorded  []integrity.Finding        // findings that end with the process
	unannounced []integrity.Finding        // losses that were found before announceTo
	announce    func(f *integrity.Finding) // nil before announceTo
	started     bool
	unwritten   bool // the last attempt to write the file failed
}

// restored are findings of the broker, which it reports while the store is closed.
type restored struct {
	mu    sync.Mutex
	found []integrity.Finding
}

func (r *restored) put(f integrity.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, f)
}

func (r *restored) take() []integrity.Finding {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.found
	r.found = nil
	return found
}

// newRecorder returns a recorder that keeps the record in a file. syncInterval is that of the store;
// 0: it syncs each message before the ack.
func newRecorder(path string, syncInterval time.Duration, log hclog.Logger) *recorder {
	r := &recorder{
		path: path, log: log,
		settle:   max(2*syncInterval, minSettle), // the server's timer may have fired just before
		interval: maxReadInterval,
		record:   integrity.New(),
		live:     integrity.New(),
		changes:  map[*change]bool{},
		touched:  map[string]bool{},
		wake:     make(chan struct{}, 1),
	}
	if syncInterval > 0 {
		r.interval = min(max(2*syncInterval, minReadInterval), maxReadInterval)
	}
	return r
}

// load reads the record. Call it before the store is opened.
func (r *recorder) load(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	r.record, err = integrity.Load(r.path)
	r.setBase(r.record)
	if errors.Is(err, fs.ErrNotExist) && len(r.record.Streams) == 0 {
		r.noRecord = true
		return
	}
	if err != nil {
		r.log.Warn("record of the streams is damaged", "error", err)
		r.warnUnrecorded(err.Error(), now)
	}
}

// setBase sets what recorded returns.
func (r *recorder) setBase(from *integrity.Record) {
	var streams []integrity.Stream
	for _, name := range slices.Sorted(maps.Keys(from.Streams)) {
		streams = append(streams, from.Streams[name].Stream)
	}
	r.base.Store(&streams)
}

// recorded returns the streams as they were seen last, or before start as they were recorded. It
// never waits.
func (r *recorder) recorded() []integrity.Stream {
	if base := r.base.Load(); base != nil {
		return *base
	}
	return nil
}

// storeOpened remembers the streams as they were recovered, before anything changes them.
func (r *recorder) storeOpened() {
	recovered, _ := r.streams()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recovered = recovered
}

// start compares the streams with the record, once the declared ones exist.
func (r *recorder) start(now time.Time) {
	have, ok := r.streams()
	if !ok {
		return // the broker reports that the store is closed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range have {
		before := slices.IndexFunc(r.recovered, func(b integrity.Stream) bool { return b.Name == s.Name })
		if before >= 0 {
			have[i] = r.recovered[before]
		}
	}
	if r.noRecord && slices.ContainsFunc(r.recovered, func(s integrity.Stream) bool { return s.Messages > 0 }) {
		r.warnUnrecorded("there is no record of the streams: what was lost before this start is not noticed", now)
	}
	have = r.compareAll(r.record, have, now)
	r.record.Clean = false
	r.save(now)
	r.begin(have, now)
}

// begin makes the states the base of further comparisons.
func (r *recorder) begin(have []integrity.Stream, now time.Time) {
	r.pending, r.suspects, r.started = nil, nil, true
	r.live.Update(have, now, nil)
	r.setBase(r.live)
}

// noteReopened is called when the store was reopened, before anything else reads the streams.
func (r *recorder) noteReopened() {
	r.reopened.Store(true)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// storeReopened compares the streams with their last states after the store was reopened.
func (r *recorder) storeReopened(now time.Time) {
	have, ok := r.streams()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok {
		return
	}
	r.reopened.Store(false)
	before := r.live
	if !r.started { // the store was closed at start
		before, r.record.Clean = r.record, false
	}
	have = r.compareAll(before, have, now)
	r.save(now)
	r.begin(have, now)
}

// tick reads the streams, compares them with their last states, and records earlier ones.
func (r *recorder) tick(now time.Time) {
	r.mu.Lock()
	clear(r.touched)
	r.mu.Unlock()
	have, ok := r.streams()
	if !ok || r.reopened.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return
	}
	r.compareRunning(have, now)
	r.live.Update(have, now, r.unsettled())
	r.setBase(r.live)
	r.commit(now)
}

// commit records the pending states once they are synced, and takes the last ones as the next.
func (r *recorder) commit(now time.Time) {
	if r.pending != nil && now.Sub(r.pendingAt) < r.settle && !now.Before(r.pendingAt) {
		return
	}
	if r.pending != nil && (r.unwritten || changed(r.record, r.pending)) {
		r.record.Streams = r.pending.Streams
		r.save(now)
	}
	r.pending, r.pendingAt = r.live.Clone(), now
}

// changed reports whether any stream differs in more than the time at which it was seen.
func changed(before, after *integrity.Record) bool {
	return !maps.EqualFunc(before.Streams, after.Streams, func(a, b *integrity.Entry) bool {
		return a.Removed == b.Removed && a.Changing == b.Changing && a.Deleting == b.Deleting &&
			reflect.DeepEqual(a.Stream, b.Stream)
	})
}

// finish records the states at the end of a clean stop: last is how the streams were before the
// server stopped. Call it once the server has stopped.
func (r *recorder) finish(last []integrity.Stream, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started || r.reopened.Load() {
		return
	}
	// A stream that lacks messages keeps its state from before, with which it is compared at the next start.
	lacking := map[string]bool{}
	for _, f := range r.live.CompareRunning(last, now) {
		lacking[f.Stream] = true
	}
	r.record.Streams = r.live.Streams
	r.record.Update(last, now, lacking)
	r.record.Clean = true
	r.save(now)
}

// save writes the record. It logs once when it cannot.
func (r *recorder) save(now time.Time) {
	r.record.Written = now
	err := r.record.Save(r.path)
	if err != nil && !r.unwritten {
		r.log.Error("record of the streams not written", "error", err)
	}
	r.unwritten = err != nil
}
