package appliance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/nats-io/nats.go/jetstream"
)

// openStreams creates and updates the declared streams. A change that cannot be made is logged,
// and the stream stays as it is: collecting into an outdated stream is better than not at all.
func (a *Appliance) openStreams(ctx context.Context) error {
	nc, err := a.broker.Connect("jsconfig")
	if err != nil {
		return err
	}
	if a.streams, err = jetstream.New(nc); err != nil {
		return err
	}
	if err := a.checkNewestMessage(ctx); err != nil {
		return err
	}
	log := a.opts.Log.Named("jsconfig")
	results, err := jsconfig.Reconcile(ctx, a.streams, a.declaredStreams(), time.Now(), false)
	if errors.Is(err, jsconfig.ErrOverlap) {
		// The operator can remove the stream only while the server runs, so the start goes on.
		log.Error("streams not changed", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, result := range results {
		if result.Err != nil {
			log.Warn("stream is not as declared", "change", result.Change, "error", result.Err)
			continue
		}
		log.Debug("stream changed", "change", result.Change)
	}
	return nil
}

// declaredStreams returns the declared streams. One that is created although it is recorded, because
// it is lost, continues after its last sequence.
func (a *Appliance) declaredStreams() []jetstream.StreamConfig {
	declared := a.cfg.DeclaredStreams().StreamConfigs()
	for _, recorded := range a.recorder.recorded() {
		i := slices.IndexFunc(declared, func(c jetstream.StreamConfig) bool { return c.Name == recorded.Name })
		// The server deletes messages before the first sequence, so none may be there.
		if i >= 0 && recorded.Last > 0 && !a.broker.HasMessages(recorded.Name) {
			declared[i].FirstSeq = recorded.Last + 1
		}
	}
	return declared
}

// recreateStreams creates the declared streams that do not exist. It changes no others.
func (a *Appliance) recreateStreams(ctx context.Context) error {
	have, err := jsconfig.List(ctx, a.streams)
	if err != nil {
		return err
	}
	plan, err := jsconfig.Plan(have, a.declaredStreams(), time.Now())
	if err != nil {
		return err
	}
	plan = slices.DeleteFunc(plan, func(c jsconfig.Change) bool { return c.Action != jsconfig.Create })
	var errs []error
	for _, result := range jsconfig.Apply(ctx, a.streams, plan, false) {
		errs = append(errs, result.Err)
	}
	return errors.Join(errs...)
}

// listStreams returns the existing streams, sorted by name, and how they differ from the declared ones.
func (a *Appliance) listStreams(ctx context.Context) (console.Streams, error) {
	have, err := jsconfig.List(ctx, a.streams)
	if err != nil {
		return console.Streams{}, err
	}
	slices.SortFunc(have, func(a, b jsconfig.StreamInfo) int {
		return strings.Compare(a.Config.Name, b.Config.Name)
	})
	changes, err := jsconfig.Plan(have, a.cfg.DeclaredStreams().StreamConfigs(), time.Now())
	answer := console.Streams{
		Streams: append([]jsconfig.StreamInfo{}, have...), // not nil: the API answers []
		Changes: append([]jsconfig.Change{}, changes...),
	}
	if err != nil {
		answer.Overlap = err.Error()
	}
	return answer, nil
}
