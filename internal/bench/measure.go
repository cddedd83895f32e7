package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pollInterval = 200 * time.Millisecond
	// maxIdle is how long the ledger may stay the same before the wait for the rest ends.
	maxIdle = 30 * time.Second
)

// target is the server that the load is put on.
type target struct {
	server  string // NATS address
	console string // URL; empty: there is no adapter
	stream  string
	pid     int           // 0: not on this machine
	admin   []nats.Option // to read the stream
}

// run publishes the load in a process of its own, and compares the stream with it.
func (t target) run(ctx context.Context, p Subprocess, load Load, progress func(Ledger)) (Result, error) {
	from, err := t.lastSequence(ctx)
	if err != nil {
		return Result{}, err
	}
	cpu, err := t.cpuTime()
	if err != nil {
		return Result{}, err
	}
	published, ledger, err := t.load(ctx, p, load, progress)
	if err != nil {
		return Result{}, err
	}
	usage, err := t.usage(cpu)
	if err != nil {
		return Result{}, err
	}
	inStream, err := t.read(ctx, from)
	if err != nil {
		return Result{}, err
	}
	r := compare(published, inStream)
	r.Ledger, r.Server = ledger, usage
	if usage != nil && r.Stored > 0 {
		usage.CPUPerMessage = usage.CPUSeconds * 1e6 / float64(r.Stored)
	}
	return r, nil
}

// load publishes, and waits until every message has its outcome. Without an adapter the
// generator itself waits for every ack, and there is no ledger.
func (t target) load(ctx context.Context, p Subprocess, load Load, progress func(Ledger)) ([]sent, *Ledger, error) {
	if t.console == "" {
		published, err := publish(ctx, p, load)
		return published, nil, err
	}
	client := apiclient.New(apiclient.Options{URL: t.console})
	defer client.Close()
	before, err := readLedger(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	following, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); follow(following, client, before, progress) }()
	published, err := publish(ctx, p, load)
	stop()
	<-done
	if err != nil {
		return nil, nil, err
	}
	ledger, err := waitSettled(ctx, client, before, len(published), progress)
	return published, &ledger, err
}

// publish runs the generator and returns the messages that it published.
func publish(ctx context.Context, p Subprocess, load Load) ([]sent, error) {
	out, err := p.output(ctx, load.args()...)
	if err != nil {
		return nil, fmt.Errorf("generate the load: %w", err)
	}
	return readSent(out)
}

// follow calls progress with the ledger until the context is done.
func follow(ctx context.Context, client *apiclient.Client, before Ledger, progress func(Ledger)) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if l, err := readLedger(ctx, client); err == nil {
				progress(l.since(before))
			}
		}
	}
}

// waitSettled waits until every published message has its outcome, or the ledger has not
// changed for maxIdle.
func waitSettled(
	ctx context.Context, client *apiclient.Client, before Ledger, messages int, progress func(Ledger),
) (Ledger, error) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var last Ledger
	changed := time.Now()
	for {
		now, err := readLedger(ctx, client)
		if err != nil {
			return Ledger{}, err
		}
		l := now.since(before)
		progress(l)
		if l != last {
			last, changed = l, time.Now()
		}
		if l.Received >= uint64(messages) && l.Pending == 0 || time.Since(changed) > maxIdle {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return l, ctx.Err()
		case <-ticker.C:
		}
	}
}

func (t target) cpuTime() (time.Duration, error) {
	if t.pid == 0 {
		return 0, nil
	}
	return cpuTime(t.pid)
}

// usage returns the processor time used since before was read, and the peak memory; nil for a
// target that is not on this machine.
func (t target) usage(before time.Duration) (*Usage, error) {
	if t.pid == 0 {
		return nil, nil
	}
	cpu, err := cpuTime(t.pid)
	if err != nil {
		return nil, err
	}
	_, peak, err := memory(t.pid)
	return &Usage{CPUSeconds: (cpu - before).Seconds(), PeakMemory: peak}, err
}

func (t target) openStream(ctx context.Context) (s jetstream.Stream, closeConn func(), err error) {
	nc, err := nats.Connect(t.server, append(t.admin, nats.Name("muster bench reader"))...)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", t.server, err)
	}
	js, err := jetstream.New(nc)
	if err == nil {
		s, err = js.Stream(ctx, t.stream)
	}
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("stream %s: %w", t.stream, err)
	}
	return s, nc.Close, nil
}

func (t target) lastSequence(ctx context.Context) (uint64, error) {
	s, closeConn, err := t.openStream(ctx)
	if err != nil {
		return 0, err
	}
	defer closeConn()
	return s.CachedInfo().State.LastSeq, nil
}

// read returns every message of the stream after the sequence, without its content.
func (t target) read(ctx context.Context, after uint64) ([]stored, error) {
	s, closeConn, err := t.openStream(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	end := s.CachedInfo().State.LastSeq
	if end == after {
		return nil, nil
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, HeadersOnly: true,
	})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	var all []stored
	for {
		m, err := messages.Next()
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", t.stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		_, key, _ := strings.Cut(m.Headers().Get(contract.HeaderMsgID), "/")
		all = append(all, stored{key, meta.Timestamp})
		if meta.Sequence.Stream >= end {
			return all, nil
		}
	}
}
