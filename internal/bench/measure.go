package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	pollInterval = 200 * time.Millisecond
	// stallTime without any progress means that what is pending will stay so.
	stallTime = 30 * time.Second
)

// Target is the appliance under load.
type Target struct {
	Server  string // of NATS
	Console string // URL; empty: there is no adapter
	Stream  string
	PID     int           // 0: not on this machine
	Admin   []nats.Option // for who reads the stream
}

// Run puts the load on the target: generate publishes it, in a process of its own, and
// gives back what it wrote. Progress is called with the ledger while messages are on
// their way.
func Run(ctx context.Context, t Target, generate func(context.Context) (io.ReadCloser, error), progress func(Ledger)) (Result, error) {
	from, err := t.lastSequence(ctx)
	if err != nil {
		return Result{}, err
	}
	cpu, err := t.processorTime()
	if err != nil {
		return Result{}, err
	}
	published, ledger, err := t.load(ctx, generate, progress)
	if err != nil {
		return Result{}, err
	}
	usage, err := t.usage(cpu)
	if err != nil {
		return Result{}, err
	}
	have, err := t.read(ctx, from)
	if err != nil {
		return Result{}, err
	}
	r := compare(published, have)
	r.Ledger, r.Server = ledger, usage
	if usage != nil && r.Stored > 0 {
		usage.CPUPerMessage = usage.CPUSeconds * 1e6 / float64(r.Stored)
	}
	return r, nil
}

// load publishes, and waits until everything has its verdict. Without a console there is
// no adapter, and who publishes waits for every acknowledgement by itself.
func (t Target) load(ctx context.Context, generate func(context.Context) (io.ReadCloser, error), progress func(Ledger)) ([]sent, *Ledger, error) {
	if t.Console == "" {
		record, err := generate(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("generate: %w", err)
		}
		defer record.Close()
		published, err := readSent(record)
		return published, nil, err
	}
	before, err := t.ledger(ctx)
	if err != nil {
		return nil, nil, err
	}
	published, err := t.publish(ctx, generate, before, progress)
	if err != nil {
		return nil, nil, err
	}
	ledger, err := t.settle(ctx, before, len(published), progress)
	return published, &ledger, err
}

func (t Target) processorTime() (time.Duration, error) {
	if t.PID == 0 {
		return 0, nil
	}
	return processorTime(t.PID)
}

func (t Target) publish(ctx context.Context, generate func(context.Context) (io.ReadCloser, error), before Ledger, progress func(Ledger)) ([]sent, error) {
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); t.follow(watching, before, progress) }()
	record, err := generate(ctx)
	stop()
	<-done
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	defer record.Close()
	return readSent(record)
}

// follow reports progress until it is told to stop.
func (t Target) follow(ctx context.Context, before Ledger, progress func(Ledger)) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if l, err := t.ledger(ctx); err == nil {
				progress(l.since(before))
			}
		}
	}
}

// settle waits until everything that was sent has its verdict, or nothing moves any more.
func (t Target) settle(ctx context.Context, before Ledger, messages int, progress func(Ledger)) (Ledger, error) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var last Ledger
	moved := time.Now()
	for {
		now, err := t.ledger(ctx)
		if err != nil {
			return Ledger{}, err
		}
		l := now.since(before)
		progress(l)
		if l != last {
			last, moved = l, time.Now()
		}
		if l.Received >= uint64(messages) && l.Pending == 0 || time.Since(moved) > stallTime {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return l, ctx.Err()
		case <-ticker.C:
		}
	}
}

// usage is what the target has taken since; nil where it is not on this machine.
func (t Target) usage(before time.Duration) (*Usage, error) {
	if t.PID == 0 {
		return nil, nil
	}
	cpu, err := processorTime(t.PID)
	if err != nil {
		return nil, err
	}
	peak, err := peakMemory(t.PID)
	return &Usage{CPUSeconds: (cpu - before).Seconds(), PeakMemory: peak}, err
}

func (l Ledger) since(before Ledger) Ledger {
	return Ledger{
		Received:  l.Received - before.Received,
		Stored:    l.Stored - before.Stored,
		Duplicate: l.Duplicate - before.Duplicate,
		Rejected:  l.Rejected - before.Rejected,
		Dropped:   l.Dropped - before.Dropped,
		Pending:   l.Pending,
	}
}

// ledger reads the counters of all adapters together from /metrics.
func (t Target) ledger(ctx context.Context) (Ledger, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Console+"/metrics", nil)
	if err != nil {
		return Ledger{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Ledger{}, fmt.Errorf("no appliance answers at %s; start one with \"muster run\", or leave --server away", t.Console)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return Ledger{}, fmt.Errorf("read %s/metrics: %w", t.Console, err)
	}
	return Ledger{
		Received:  total(families, "received_total"),
		Stored:    total(families, "stored_total"),
		Duplicate: total(families, "duplicate_total"),
		Rejected:  total(families, "rejected_total"),
		Dropped:   total(families, "dropped_total"),
		Pending:   total(families, "pending"),
	}, nil
}

func total(families map[string]*dto.MetricFamily, name string) uint64 {
	var sum float64
	for _, m := range families["muster_adapter_"+name].GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return uint64(sum)
}

func (t Target) stream(ctx context.Context) (jetstream.Stream, func(), error) {
	nc, err := nats.Connect(t.Server, append(t.Admin, nats.Name("muster bench reader"))...)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", t.Server, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	s, err := js.Stream(ctx, t.Stream)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("stream %s: %w", t.Stream, err)
	}
	return s, nc.Close, nil
}

func (t Target) lastSequence(ctx context.Context) (uint64, error) {
	s, done, err := t.stream(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	return s.CachedInfo().State.LastSeq, nil
}

// read is every message of the stream after the sequence, without its content.
func (t Target) read(ctx context.Context, after uint64) ([]stored, error) {
	s, done, err := t.stream(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
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
			return nil, fmt.Errorf("read stream %s: %w", t.Stream, err)
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
