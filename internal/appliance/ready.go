package appliance

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/jsconfig"
)

// The disk is short below either of these.
const (
	leastFree        = 1 << 30
	leastFreePercent = 5
)

// The codes of what keeps an appliance from being ready.
const (
	codeStarting     = "starting"
	codeUnwritable   = "stream-unwritable"
	codeDisconnected = "adapter-disconnected"
	codeDiskShort    = "disk-short"
)

// NotReady is everything that keeps messages from being stored; nothing when ready.
func (a *Appliance) NotReady() []console.Reason {
	if !a.ready.Load() {
		return []console.Reason{{Code: codeStarting, What: a.cfg.Identity, Detail: "starting, or stopping"}}
	}
	var reasons []console.Reason
	for _, fault := range a.broker.Faults() {
		what := fault.Stream
		if what == "" {
			what = "jetstream"
		}
		reasons = append(reasons, console.Reason{Code: codeUnwritable, What: what, Detail: fault.Detail})
	}
	for _, one := range a.adapters {
		if fault := one.Fault(); fault != "" {
			reasons = append(reasons, console.Reason{Code: codeUnwritable, What: a.streamOf(one.Name()), Detail: fault})
		}
		if !one.Connected() {
			reasons = append(reasons, console.Reason{Code: codeDisconnected, What: one.Name(), Detail: "no connection; it is tried again until there is one"})
		}
	}
	if short := a.diskShort(); short != "" {
		reasons = append(reasons, console.Reason{Code: codeDiskShort, What: a.DataDir(), Detail: short})
	}
	return reasons
}

// Alive tells whether adapters, view and store still answer. A full disk, or a stream that
// cannot be written, is said by NotReady, and heals; what hangs needs a new process.
func (a *Appliance) Alive(ctx context.Context) error {
	answers := make(chan error, 1)
	go func() { // which stays behind where something hangs
		a.Stats()
		a.States()
		_, err := jsconfig.List(ctx, a.streams)
		answers <- err
	}()
	select {
	case err := <-answers:
		if !errors.Is(err, context.DeadlineExceeded) { // any other answer is one
			return nil
		}
	case <-ctx.Done():
	}
	return errors.New("adapters, the view of the nodes, or the store do not answer")
}

// diskShort says why there is too little room for the data.
func (a *Appliance) diskShort() string {
	space, err := host.SpaceOf(a.cfg.DataDir)
	if err != nil {
		return err.Error()
	}
	return DiskShort(space)
}

// DiskShort says in words why that is too little room to store in; it is empty where it is
// enough.
func DiskShort(space host.Space) string {
	if space.Has(leastFree, leastFreePercent) {
		return ""
	}
	return fmt.Sprintf("%s of %s is free; make room, or lower the streams' max_bytes",
		humanize.IBytes(space.Free), humanize.IBytes(space.Total))
}

// streamOf is the stream that an adapter fills, or its subject where no stream is declared.
func (a *Appliance) streamOf(name string) string {
	topic := a.cfg.Adapters[name].Stream.Subject("sender")
	if stream := a.cfg.Declared.StreamFor(topic); stream != "" {
		return stream
	}
	return a.cfg.Adapters[name].Stream.Topic
}
