package jsconfig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrDeletesMessages is the error of a change that was not made because it would have
// deleted stored messages.
var ErrDeletesMessages = errors.New("not made, because it deletes messages; " +
	"to make it, run \"muster streams apply --delete-messages\"")

// ErrOverlap is returned, and nothing is changed, when a subject of a declared stream overlaps an
// existing stream that is not declared.
var ErrOverlap = errors.New("subjects overlap")

// Result is one change and whether it was made.
type Result struct {
	Change Change
	Err    error // nil if the change was made
}

// List returns all streams of the server, in the server's order.
func List(ctx context.Context, js jetstream.JetStream) ([]StreamInfo, error) {
	var existing []StreamInfo
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		existing = append(existing, StreamInfo{Config: info.Config, State: info.State})
	}
	if err := streams.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return existing, nil
}

// Reconcile makes the server's streams match the configuration. Changes that delete messages are made
// only with deleteMessages. The error is that of Plan, or of listing the streams; the error
// of a single change is in its Result.
func Reconcile(
	ctx context.Context, js jetstream.JetStream, declared []jetstream.StreamConfig, now time.Time, deleteMessages bool,
) ([]Result, error) {
	existing, err := List(ctx, js)
	if err != nil {
		return nil, err
	}
	plan, err := Plan(existing, declared, now)
	if err != nil {
		return nil, err
	}
	return Apply(ctx, js, plan, deleteMessages), nil
}

// Apply makes the changes one by one. A failed update changes nothing; a failed recreate loses the
// messages (see recreate). The other changes are made anyway. Without deleteMessages, changes that
// delete messages are skipped with ErrDeletesMessages.
func Apply(ctx context.Context, js jetstream.JetStream, changes []Change, deleteMessages bool) []Result {
	results := make([]Result, len(changes))
	for i, change := range changes {
		results[i] = Result{Change: change, Err: ErrDeletesMessages}
		if deleteMessages || !change.DeletesMessages() {
			results[i].Err = apply(ctx, js, change)
		}
	}
	return results
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

// recreate deletes the stream and creates it with the declared configuration. If creating it fails, recreate
// creates it as it was before, without its messages: without a stream, messages published to
// its subjects would be lost.
func recreate(ctx context.Context, js jetstream.JetStream, change Change) error {
	if err := js.DeleteStream(ctx, change.Stream); err != nil {
		return err
	}
	_, err := js.CreateStream(ctx, change.config)
	if err == nil {
		return nil
	}
	if _, again := js.CreateStream(ctx, change.before); again != nil {
		return errors.Join(err, fmt.Errorf("create the stream again as it was: %w", again))
	}
	return fmt.Errorf("%w; the stream was created again as it was, without its messages", err)
}
