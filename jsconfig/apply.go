package jsconfig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrDeletesMessages is why a change was not made: it would have cost stored messages.
var ErrDeletesMessages = errors.New("left as it is: the change deletes messages; \"muster streams apply --delete-messages\" makes it")

// ErrOverlap is why nothing was changed: a declared stream wants a subject of one that is
// there and not declared.
var ErrOverlap = errors.New("subjects overlap")

// Outcome is what became of a change.
type Outcome struct {
	Change Change
	Err    error // nil where it was made
}

// List is every stream that is there, in the order of the server.
func List(ctx context.Context, js jetstream.JetStream) ([]StreamInfo, error) {
	var have []StreamInfo
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		have = append(have, StreamInfo{Config: info.Config, State: info.State})
	}
	if err := streams.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return have, nil
}

// Reconcile makes the streams as wanted, as far as that deletes no message or is allowed to.
// The error is that of Plan, or of the server not answering; what became of each change
// is in the outcomes.
func Reconcile(ctx context.Context, js jetstream.JetStream, want []jetstream.StreamConfig, now time.Time, deleteMessages bool) ([]Outcome, error) {
	have, err := List(ctx, js)
	if err != nil {
		return nil, err
	}
	plan, err := Plan(have, want, now)
	if err != nil {
		return nil, err
	}
	return Apply(ctx, js, plan, deleteMessages), nil
}

// Apply makes the changes, one by one. One that fails, or that would delete messages
// without deleteMessages, leaves its stream as it is and keeps no other from being made.
func Apply(ctx context.Context, js jetstream.JetStream, changes []Change, deleteMessages bool) []Outcome {
	outcomes := make([]Outcome, len(changes))
	for i, change := range changes {
		outcomes[i] = Outcome{Change: change, Err: ErrDeletesMessages}
		if deleteMessages || !change.DeletesMessages() {
			outcomes[i].Err = apply(ctx, js, change)
		}
	}
	return outcomes
}

func apply(ctx context.Context, js jetstream.JetStream, change Change) error {
	switch change.Action {
	case Create:
		_, err := js.CreateStream(ctx, change.config)
		return err
	case Recreate:
		return recreate(ctx, js, change)
	default:
		_, err := js.UpdateStream(ctx, change.config)
		return err
	}
}

// recreate puts another stream in the place of one. Where that fails, the old one is made
// again, without its messages: its subjects must not be left to nobody.
func recreate(ctx context.Context, js jetstream.JetStream, change Change) error {
	if err := js.DeleteStream(ctx, change.Stream); err != nil {
		return err
	}
	_, err := js.CreateStream(ctx, change.config)
	if err == nil {
		return nil
	}
	if _, again := js.CreateStream(ctx, change.before); again != nil {
		return errors.Join(err, fmt.Errorf("make the stream again as it was: %w", again))
	}
	return fmt.Errorf("%w; the stream is there again as it was, without its messages", err)
}
