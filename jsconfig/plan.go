package jsconfig

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Action is the kind of a change.
type Action string

// The actions. Shrink and Recreate delete messages; they need deleteMessages.
const (
	Create   Action = "create"
	Update   Action = "update"
	Shrink   Action = "shrink"   // an update after which stored messages exceed a limit
	Recreate Action = "recreate" // delete and create, for what the server cannot update
)

// StreamInfo is an existing stream, in the same JSON as NATS's API and its /jsz.
type StreamInfo struct {
	Config jetstream.StreamConfig `json:"config"`
	State  jetstream.StreamState  `json:"state"`
}

// Difference is one field that is not as declared.
type Difference struct {
	Field string `json:"field"` // its key in the configuration
	Have  string `json:"have"`  // as it exists
	Want  string `json:"want"`  // as declared
}

// Change makes one stream match the configuration.
type Change struct {
	Stream      string       `json:"stream"`
	Action      Action       `json:"action"`
	Differences []Difference `json:"differences,omitempty"`
	Why         string       `json:"why,omitempty"` // why messages would be deleted; empty if none

	config jetstream.StreamConfig // after the change
	before jetstream.StreamConfig // of the existing stream; zero for Create
}

// DeletesMessages reports whether the change deletes stored messages.
func (c Change) DeletesMessages() bool { return c.Action == Shrink || c.Action == Recreate }

// String returns the change on one line.
func (c Change) String() string {
	line := string(c.Action) + " " + c.Stream
	var parts []string
	for _, d := range c.Differences {
		parts = append(parts, fmt.Sprintf("%s %s → %s", d.Field, d.Have, d.Want))
	}
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	if c.Why != "" {
		line += " (" + c.Why + ")"
	}
	return line
}

// Plan returns the changes that make the existing streams match the configuration. Streams that are not
// declared stay as they are; if one has a subject of a declared stream, Plan returns an
// ErrOverlap. Changes that free subjects come before those that need them.
func Plan(existing []StreamInfo, declared []jetstream.StreamConfig, now time.Time) ([]Change, error) {
	byName := map[string]StreamInfo{}
	for _, e := range existing {
		byName[e.Config.Name] = e
	}
	if err := checkUndeclared(existing, declared); err != nil {
		return nil, err
	}
	var changes []Change
	for _, d := range declared {
		e, exists := byName[d.Name]
		if !exists {
			changes = append(changes, Change{Stream: d.Name, Action: Create, config: d})
			continue
		}
		if change, differs := compare(e, d, now); differs {
			changes = append(changes, change)
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return a.rank() - b.rank() })
	return changes, nil
}

// rank orders changes: updates come first, because they may free subjects that others need.
func (c Change) rank() int {
	if c.Action == Update || c.Action == Shrink {
		return 0
	}
	return 1
}

// checkUndeclared returns an ErrOverlap if an existing stream that is not declared has a
// subject of a declared one. Declared streams are not compared with each other: Validate has
// done it, and their existing subjects may change.
func checkUndeclared(existing []StreamInfo, declared []jetstream.StreamConfig) error {
	for _, d := range declared {
		for _, e := range existing {
			isDeclared := func(c jetstream.StreamConfig) bool { return c.Name == e.Config.Name }
			if slices.ContainsFunc(declared, isDeclared) {
				continue
			}
			if a, b, overlaps := findOverlap(d.Subjects, e.Config.Subjects); overlaps {
				return fmt.Errorf("%w: subject %q of declared stream %s overlaps %q of existing stream %s, "+
					"which is not declared; remove that one (nats stream rm %s), or declare it with other subjects",
					ErrOverlap, a, d.Name, b, e.Config.Name, e.Config.Name)
			}
		}
	}
	return nil
}

// compare returns the change that makes an existing stream match the configuration, and whether
// they differ at all.
func compare(e StreamInfo, declared jetstream.StreamConfig, now time.Time) (Change, bool) {
	change := Change{Stream: declared.Name, Action: Update, config: e.Config, before: e.Config}
	for _, f := range fields {
		have, want := f.text(&e.Config), f.text(&declared)
		if have == want {
			continue
		}
		change.Differences = append(change.Differences, Difference{f.name, have, want})
		f.set(&change.config, &declared)
	}
	if len(change.Differences) == 0 {
		return Change{}, false
	}
	if why := immutable(&e.Config, &declared); why != "" {
		change.Action, change.config = Recreate, declared
		change.Why = fmt.Sprintf("%s; recreating deletes %d messages and all consumers", why, e.State.Msgs)
	} else if why := deletes(e, &declared, now); why != "" {
		change.Action, change.Why = Shrink, why
	}
	return change, true
}

// immutable returns why the server would refuse the update, or an empty text.
func immutable(have, want *jetstream.StreamConfig) string {
	workqueue := func(c *jetstream.StreamConfig) bool { return c.Retention == jetstream.WorkQueuePolicy }
	switch {
	case have.Sealed:
		return "a sealed stream cannot be changed"
	case have.Mirror != nil:
		return "a mirror cannot become a stream with subjects"
	case have.Storage != want.Storage:
		return "storage cannot be changed"
	case workqueue(have) != workqueue(want):
		return "retention cannot be changed to or from workqueue"
	case have.DenyDelete && !want.DenyDelete:
		return "deny_delete cannot be unset"
	case have.DenyPurge && !want.DenyPurge:
		return "deny_purge cannot be unset"
	}
	return ""
}

// deletes returns why the update would delete stored messages, or an empty text.
func deletes(e StreamInfo, declared *jetstream.StreamConfig, now time.Time) string {
	have, state := &e.Config, &e.State
	if state.Msgs == 0 {
		return ""
	}
	// Each subject has at least one message, so no subject can have more than this.
	maxPerSubject := int64(state.Msgs-state.NumSubjects) + 1
	switch {
	case isLower(declared.MaxAge, have.MaxAge) && state.FirstTime.Before(now.Add(-declared.MaxAge)):
		return fmt.Sprintf("the oldest message is from %s", state.FirstTime.UTC().Format(time.RFC3339))
	case isLower(declared.MaxBytes, have.MaxBytes) && int64(state.Bytes) > declared.MaxBytes:
		return fmt.Sprintf("%d bytes are stored", state.Bytes)
	case isLower(declared.MaxMsgs, have.MaxMsgs) && int64(state.Msgs) > declared.MaxMsgs:
		return fmt.Sprintf("%d messages are stored", state.Msgs)
	case isLower(declared.MaxMsgsPerSubject, have.MaxMsgsPerSubject) && maxPerSubject > declared.MaxMsgsPerSubject:
		return fmt.Sprintf("%d messages are stored on %d subjects", state.Msgs, state.NumSubjects)
	case have.Retention != declared.Retention:
		return fmt.Sprintf("%d messages are stored, and those that no consumer needs would be deleted", state.Msgs)
	}
	return ""
}

// isLower reports whether limit is stricter than before. 0 and less mean unlimited.
func isLower[T ~int64](limit, before T) bool {
	return limit > 0 && (before <= 0 || limit < before)
}
