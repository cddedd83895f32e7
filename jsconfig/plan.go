package jsconfig

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Action is what would be done to a stream.
type Action string

// The actions. The last two delete messages, and are done only when that is asked for.
const (
	Create   Action = "create"
	Update   Action = "update"
	Shrink   Action = "shrink"   // an update after which stored messages are over a limit
	Recreate Action = "recreate" // what the server cannot change in place
)

// StreamInfo is a stream that is there. The server's pages and its API write it the same way.
type StreamInfo struct {
	Config jetstream.StreamConfig `json:"config"`
	State  jetstream.StreamState  `json:"state"`
}

// Difference is one field that is not as declared.
type Difference struct {
	Field string `json:"field"`
	Have  string `json:"have"`
	Want  string `json:"want"`
}

// Change is what would make a stream as declared.
type Change struct {
	Stream      string       `json:"stream"`
	Action      Action       `json:"action"`
	Differences []Difference `json:"differences,omitempty"`
	Why         string       `json:"why,omitempty"` // for actions that delete messages

	config jetstream.StreamConfig
	before jetstream.StreamConfig // of a stream that is there
}

// DeletesMessages tells whether the change costs messages that are stored.
func (c Change) DeletesMessages() bool { return c.Action == Shrink || c.Action == Recreate }

// String is the change in one line.
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

// Plan compares what is there with what is declared. A stream that is not declared is
// left alone; one whose subjects a declared stream wants is an error.
func Plan(have []StreamInfo, want []jetstream.StreamConfig, now time.Time) ([]Change, error) {
	there := map[string]StreamInfo{}
	for _, h := range have {
		there[h.Config.Name] = h
	}
	var changes []Change
	for _, w := range want {
		if err := checkOverlap(w, have, want); err != nil {
			return nil, err
		}
		h, exists := there[w.Name]
		if !exists {
			changes = append(changes, Change{Stream: w.Name, Action: Create, config: w})
			continue
		}
		if change, differs := compare(h, w, now); differs {
			changes = append(changes, change)
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return a.turn() - b.turn() })
	return changes, nil
}

// turn puts updates first: they may give up subjects that others take.
func (c Change) turn() int {
	if c.Action == Update || c.Action == Shrink {
		return 0
	}
	return 1
}

// checkOverlap looks at the streams that are there and not declared: those that are
// declared have been checked against each other, and may be changed.
func checkOverlap(w jetstream.StreamConfig, have []StreamInfo, want []jetstream.StreamConfig) error {
	for _, h := range have {
		declared := false
		for _, other := range want {
			declared = declared || other.Name == h.Config.Name
		}
		if declared {
			continue
		}
		if a, b, clash := overlap(w.Subjects, h.Config.Subjects); clash {
			return fmt.Errorf("%w: stream %s: its subject %q overlaps %q of stream %s, which exists and is not declared; remove that one (nats stream rm %s), or declare it with other subjects",
				ErrOverlap, w.Name, a, b, h.Config.Name, h.Config.Name)
		}
	}
	return nil
}

// compare makes the change that turns a stream into what is declared.
func compare(h StreamInfo, w jetstream.StreamConfig, now time.Time) (Change, bool) {
	change := Change{Stream: w.Name, Action: Update, config: h.Config, before: h.Config}
	for _, f := range fields {
		have, want := f.text(&h.Config), f.text(&w)
		if have == want {
			continue
		}
		change.Differences = append(change.Differences, Difference{f.name, have, want})
		f.set(&change.config, &w)
	}
	if len(change.Differences) == 0 {
		return Change{}, false
	}
	if why := immutable(&h.Config, &w); why != "" {
		change.Action, change.config = Recreate, w
		change.Why = fmt.Sprintf("%s; recreating deletes %d messages and all consumers", why, h.State.Msgs)
	} else if why := deletes(h, &w, now); why != "" {
		change.Action, change.Why = Shrink, why
	}
	return change, true
}

// immutable says why the server would refuse the update.
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
		return "deny_delete cannot be taken back"
	case have.DenyPurge && !want.DenyPurge:
		return "deny_purge cannot be taken back"
	}
	return ""
}

// deletes says which lowered limit would cost stored messages.
func deletes(h StreamInfo, want *jetstream.StreamConfig, now time.Time) string {
	have, state := &h.Config, &h.State
	if state.Msgs == 0 {
		return ""
	}
	// No subject can have more messages than all have, less one for each other subject.
	fullest := int64(state.Msgs-state.NumSubjects) + 1
	switch {
	case lowered(int64(have.MaxAge), int64(want.MaxAge)) && state.FirstTime.Before(now.Add(-want.MaxAge)):
		return fmt.Sprintf("the oldest message is from %s", state.FirstTime.UTC().Format(time.RFC3339))
	case lowered(have.MaxBytes, want.MaxBytes) && int64(state.Bytes) > want.MaxBytes:
		return fmt.Sprintf("%d bytes are stored", state.Bytes)
	case lowered(have.MaxMsgs, want.MaxMsgs) && int64(state.Msgs) > want.MaxMsgs:
		return fmt.Sprintf("%d messages are stored", state.Msgs)
	case lowered(have.MaxMsgsPerSubject, want.MaxMsgsPerSubject) && fullest > want.MaxMsgsPerSubject:
		return fmt.Sprintf("%d messages are stored on %d subjects", state.Msgs, state.NumSubjects)
	case have.Retention != want.Retention:
		return fmt.Sprintf("%d messages are stored, and those that no consumer wants would go", state.Msgs)
	}
	return ""
}

// lowered tells whether a limit, of which 0 and less are none, became stricter.
func lowered(have, want int64) bool {
	return want > 0 && (have <= 0 || want < have)
}
