package jsconfig

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// storedStream returns the stream of declareStream with 100 messages on 50 subjects, the oldest
// a day old.
func storedStream(edit func(*Stream)) StreamInfo {
	return StreamInfo{
		Config: declareStream(edit),
		State: jetstream.StreamState{
			Msgs: 100, Bytes: 1 << 20, NumSubjects: 50, FirstTime: now.Add(-24 * time.Hour),
		},
	}
}

// declareStream returns stream S with the edit applied; nil edits nothing.
func declareStream(edit func(*Stream)) jetstream.StreamConfig {
	s := NewStream("S")
	s.Subjects = []string{"s.>"}
	if edit != nil {
		edit(s)
	}
	return s.config()
}

func TestPlan_ReportsEachDifference(t *testing.T) {
	for _, test := range []struct {
		name               string
		existing, declared func(*Stream)
		action             Action
		text               string
	}{
		{"description", nil,
			func(s *Stream) { s.Description = "x" },
			Update, `description "" → "x"`},
		{"another subject", nil,
			func(s *Stream) { s.Subjects = []string{"s.>", "t"} },
			Update, `subjects s.> → s.> t`},
		{"longer max_age", func(s *Stream) { s.MaxAge = 48 * time.Hour },
			func(s *Stream) { s.MaxAge = 72 * time.Hour },
			Update, `max_age 2d → 3d`},
		{"unlimited max_age", func(s *Stream) { s.MaxAge = 48 * time.Hour },
			nil,
			Update, `max_age 2d → unlimited`},
		{"shorter max_age, longer than the age of all messages", nil,
			func(s *Stream) { s.MaxAge = 25 * time.Hour },
			Update, `max_age unlimited → 25h`},
		{"max_age shorter than the age of the oldest message", nil,
			func(s *Stream) { s.MaxAge = 23 * time.Hour },
			Shrink, `the oldest message is from 2026-11-22T12:00:00Z`},
		{"max_bytes above what is stored", nil,
			func(s *Stream) { s.MaxBytes = 2 << 20 },
			Update, `max_bytes unlimited → 2MiB`},
		{"max_bytes below what is stored", nil,
			func(s *Stream) { s.MaxBytes = 1 << 19 },
			Shrink, `1048576 bytes are stored`},
		{"max_msgs below what is stored", nil,
			func(s *Stream) { s.MaxMsgs = 99 },
			Shrink, `100 messages are stored`},
		{"max_msgs for all that is stored", nil,
			func(s *Stream) { s.MaxMsgs = 100 },
			Update, `max_msgs unlimited → 100`},
		{"max_msgs_per_subject below what may be stored", nil,
			func(s *Stream) { s.MaxMsgsPerSubject = 50 },
			Shrink, `100 messages are stored on 50 subjects`},
		{"max_msgs_per_subject for all that may be stored", nil,
			func(s *Stream) { s.MaxMsgsPerSubject = 51 },
			Update, `max_msgs_per_subject unlimited → 51`},
		{"retention interest", nil,
			func(s *Stream) { s.Retention = "interest" },
			Shrink, `those that no consumer needs`},
		{"retention workqueue", nil,
			func(s *Stream) { s.Retention = "workqueue" },
			Recreate, `recreating deletes 100 messages and all consumers`},
		{"storage memory", nil,
			func(s *Stream) { s.Storage = "memory" },
			Recreate, `storage cannot be changed`},
		{"deny_delete unset", func(s *Stream) { s.DenyDelete = true },
			nil,
			Recreate, `deny_delete cannot be unset`},
		{"deny_purge unset", func(s *Stream) { s.DenyPurge = true },
			nil,
			Recreate, `deny_purge cannot be unset`},
		{"deny_delete set", nil,
			func(s *Stream) { s.DenyDelete = true },
			Update, `deny_delete false → true`},
		{"discard new", nil,
			func(s *Stream) { s.Discard = "new" },
			Update, `discard old → new`},
		{"compression", nil,
			func(s *Stream) { s.Compression = "s2" },
			Update, `compression none → s2`},
		{"allow_direct", nil,
			func(s *Stream) { s.AllowDirect = true },
			Update, `allow_direct false → true`},
		{"duplicate_window", nil,
			func(s *Stream) { s.DuplicateWindow = time.Minute },
			Update, `duplicate_window 2m → 1m`},
		{"subject_transform", nil,
			func(s *Stream) { s.Transform = Transform{"s.>", "t.>"} },
			Update, `subject_transform none → s.> to t.>`},
	} {
		t.Run(test.name, func(t *testing.T) {
			existing := []StreamInfo{storedStream(test.existing)}
			changes, err := Plan(existing, []jetstream.StreamConfig{declareStream(test.declared)}, now)
			if err != nil || len(changes) != 1 {
				t.Fatalf("%v %v", changes, err)
			}
			c := changes[0]
			if c.Action != test.action || !strings.Contains(c.String(), test.text) {
				t.Errorf("have %s\nwant %s with %s", c, test.action, test.text)
			}
			if deletes := test.action == Shrink || test.action == Recreate; c.DeletesMessages() != deletes {
				t.Errorf("DeletesMessages is %v", !deletes)
			}
		})
	}
}

func TestPlan_NoChangeForMatchingStream(t *testing.T) {
	existing := storedStream(nil)
	existing.Config.Metadata = map[string]string{"_nats.ver": "2.15.2"}
	other := StreamInfo{Config: jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}}
	changes, err := Plan([]StreamInfo{existing, other}, []jetstream.StreamConfig{declareStream(nil)}, now)
	if err != nil || len(changes) != 0 {
		t.Errorf("%v %v", changes, err)
	}
}

func TestPlan_DeletesNothingFromAnEmptyStream(t *testing.T) {
	empty := StreamInfo{Config: declareStream(nil)}
	declared := declareStream(func(s *Stream) { s.MaxAge = time.Hour })
	changes, err := Plan([]StreamInfo{empty}, []jetstream.StreamConfig{declared}, now)
	if err != nil || len(changes) != 1 || changes[0].Action != Update {
		t.Errorf("%v %v", changes, err)
	}
}

func TestPlan_RefusesSubjectsOfAnUndeclaredStream(t *testing.T) {
	other := StreamInfo{Config: jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"s.a.*"}}}
	_, err := Plan([]StreamInfo{other}, []jetstream.StreamConfig{declareStream(nil)}, now)
	if !errors.Is(err, ErrOverlap) ||
		!strings.Contains(err.Error(), `"s.>" of declared stream S overlaps "s.a.*" of existing stream OTHER`) {
		t.Errorf("have %v", err)
	}
}

func TestPlan_UpdatesBeforeItCreates(t *testing.T) {
	existing := StreamInfo{Config: declareStream(nil)}
	smaller := declareStream(func(s *Stream) { s.Subjects = []string{"s.a.>"} })
	created := declareStream(func(s *Stream) { s.Subjects = []string{"s.b.>"} })
	created.Name = "A"
	changes, err := Plan([]StreamInfo{existing}, []jetstream.StreamConfig{created, smaller}, now)
	if err != nil || len(changes) != 2 || changes[0].Action != Update || changes[1].Action != Create {
		t.Errorf("%v %v", changes, err)
	}
}
