package oracle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// reconnectDelay is the pause before a recorder connects again.
	reconnectDelay = 50 * time.Millisecond
	// lookInterval is how often a recorder looks whether the stream was created again.
	lookInterval = 100 * time.Millisecond
	apiTimeout   = 2 * time.Second
)

// Recorder records what a stream stores, through restarts and new lives of its server.
type Recorder struct {
	connect func() (*nats.Conn, error)
	stream  string
	site    string // empty: the stream is at the hub
	cancel  context.CancelFunc
	done    chan struct{}

	mu       sync.Mutex
	messages []Message
	seen     map[string]bool
	created  time.Time // of the current life
	life     int
	last     uint64 // sequence that was read last in this life
	current  bool   // it is reading
}

// errNewLife ends the reading of a stream that was created again.
var errNewLife = errors.New("the stream was created again")

// Record begins to record a stream of an edge, or of the hub if site is empty. Stop ends it.
func Record(site, stream string, connect func() (*nats.Conn, error)) *Recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recorder{
		connect: connect, stream: stream, site: site, cancel: cancel, done: make(chan struct{}), seen: map[string]bool{},
	}
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			_ = r.read(ctx) // it ends with every restart of the server
			select {
			case <-ctx.Done():
			case <-time.After(reconnectDelay):
			}
		}
	}()
	return r
}

// Stop ends the recording. It may be called twice.
func (r *Recorder) Stop() {
	r.cancel()
	<-r.done
}

// Messages returns what was recorded so far.
func (r *Recorder) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages[:len(r.messages):len(r.messages)]
}

// read reads the stream from its beginning, as it may be an older one than before, until the connection ends.
func (r *Recorder) read(ctx context.Context) error {
	nc, err := r.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	info, err := r.info(ctx, js)
	if err != nil {
		return err
	}
	r.begin(info)
	defer r.end()
	consumer, err := js.OrderedConsumer(ctx, r.stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	reading, err := consumer.Consume(func(m jetstream.Msg) { r.add(m) })
	if err != nil {
		return err
	}
	defer reading.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookInterval):
		}
		info, err := r.info(ctx, js)
		if err != nil {
			return err
		}
		if !info.Created.Equal(r.begun()) {
			return errNewLife
		}
	}
}

func (r *Recorder) info(ctx context.Context, js jetstream.JetStream) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(ctx, r.stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

func (r *Recorder) begin(info *jetstream.StreamInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !info.Created.Equal(r.created) {
		r.created = info.Created
		r.life++
	}
	r.last, r.current = 0, true
}

func (r *Recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = false
}

func (r *Recorder) begun() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.created
}

// add records a message, unless it was read before.
func (r *Recorder) add(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = meta.Sequence.Stream
	key := fmt.Sprintf("%d %d", meta.Sequence.Stream, meta.Timestamp.UnixNano())
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	recorded := Message{
		Site: r.site, Stream: r.stream, Subject: m.Subject(), Sequence: meta.Sequence.Stream, Stored: meta.Timestamp,
		Header: m.Headers(), Data: m.Data(), Life: r.life,
	}
	if r.site == "" {
		recorded.Site, recorded.Subject, _ = contract.CutSite(recorded.Subject)
	}
	r.messages = append(r.messages, recorded)
}

// Await waits until everything that the stream stores now is recorded. The stream must be reachable.
func (r *Recorder) Await(ctx context.Context) error {
	for {
		want, err := r.lastStored(ctx)
		r.mu.Lock()
		have, current := r.last, r.current
		r.mu.Unlock()
		if err == nil && current && have >= want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages of %s are recorded: %w", have, want, r.stream, errors.Join(ctx.Err(), err))
		case <-time.After(reconnectDelay):
		}
	}
}

// lastStored returns the last sequence of the stream, which must be in the life that is read.
func (r *Recorder) lastStored(ctx context.Context) (uint64, error) {
	nc, err := r.connect()
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	info, err := r.info(ctx, js)
	if err != nil {
		return 0, err
	}
	if !info.Created.Equal(r.begun()) {
		return 0, errNewLife
	}
	if info.State.Msgs == 0 {
		return 0, nil
	}
	return info.State.LastSeq, nil
}
