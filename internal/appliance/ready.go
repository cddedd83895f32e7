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

// A disk with less free space than one of these has too little.
const (
	readyMinFree        = 1 << 30 // bytes
	readyMinFreePercent = 5
)

// Codes of the reasons why an appliance is not ready.
const (
	codeStarting     = "starting" // not open yet, or closing
	codeUnwritable   = "stream-unwritable"
	codeDisconnected = "adapter-disconnected"
	codeLowDisk      = "disk-short"
)

// CodeHubDisconnected is the code of a warning: an appliance without its hub goes on.
const CodeHubDisconnected = "hub-disconnected"

// CodeLeafnodeDisconnected is the code of a warning: a broker to which this one connects as a leaf node.
const CodeLeafnodeDisconnected = "leafnode-disconnected"

// NotReady returns every reason why the appliance is not ready; none if it is.
func (a *Appliance) NotReady() []console.Reason {
	if !a.ready.Load() {
		return []console.Reason{{Code: codeStarting, What: a.cfg.Identity, Detail: "starting or stopping"}}
	}
	var reasons []console.Reason
	for _, fault := range a.broker.Faults() {
		what := fault.Stream
		if what == "" {
			what = "jetstream"
		}
		reasons = append(reasons, console.Reason{Code: codeUnwritable, What: what, Detail: fault.Detail})
	}
	for _, ad := range a.adapters {
		if fault := ad.Fault(); fault != "" {
			reasons = append(reasons, console.Reason{Code: codeUnwritable, What: a.streamOf(ad.Name()), Detail: fault})
		}
		if !ad.Connected() {
			reasons = append(reasons, console.Reason{Code: codeDisconnected, What: ad.Name(),
				Detail: "not connected to the broker, or not to stream.servers; the adapter tries again until it is"})
		}
	}
	if low := a.lowDisk(); low != "" {
		reasons = append(reasons, console.Reason{Code: codeLowDisk, What: a.DataDir(), Detail: low})
	}
	return reasons
}

// Alive returns an error if the adapters, the fleet view or the store do not answer before the
// context is done. A process that hangs must be restarted. A full disk or a stream that cannot
// be written is no reason for that: NotReady reports them, and they heal.
func (a *Appliance) Alive(ctx context.Context) error {
	answers := make(chan error, 1)
	go func() { // this goroutine leaks if a call hangs
		a.Stats()
		a.States()
		_, err := jsconfig.List(ctx, a.streams)
		answers <- err
	}()
	select {
	case err := <-answers:
		if !errors.Is(err, context.DeadlineExceeded) { // any other error is an answer
			return nil
		}
	case <-ctx.Done():
	}
	return errors.New("the adapters, the fleet view or the store do not answer")
}

// lowDisk returns why the disk has too little free space; empty if it has enough.
func (a *Appliance) lowDisk() string {
	space, err := host.SpaceOf(a.cfg.DataDir)
	if err != nil {
		return err.Error()
	}
	return LowDisk(space)
}

// LowDisk returns a sentence if the space is too small for an appliance to store in; empty if
// it is large enough.
func LowDisk(space host.Space) string {
	if space.Has(readyMinFree, readyMinFreePercent) {
		return ""
	}
	return fmt.Sprintf("only %s of %s is free; free disk space, or lower the streams' max_bytes",
		humanize.IBytes(space.Free), humanize.IBytes(space.Total))
}

// streamOf returns the stream that an adapter publishes to, or its subject if no stream is declared for it.
func (a *Appliance) streamOf(name string) string {
	topic := a.cfg.Adapters[name].Stream.Subject("sender")
	if stream := a.cfg.DeclaredStreams().StreamFor(topic); stream != "" {
		return stream
	}
	return a.cfg.Adapters[name].Stream.Topic
}
