package jsconfig

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/nats-io/nats.go/jetstream"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// stored is a stream as declared by edit, with 100 messages on 50 subjects, the oldest a day old.
func stored(edit func(*Stream)) StreamInfo {
	return StreamInfo{
		Config: declare(edit),
		State: jetstream.StreamState{
			Msgs: 100, Bytes: 1 << 20, NumSubjects: 50, FirstTime: now.Add(-24 * time.Hour),
		},
	}
}

func declare(edit func(*Stream)) jetstream.StreamConfig {
	s := NewStream("S")
	s.Subjects = []string{"s.>"}
	if edit != nil {
		edit(s)
	}
	return s.config()
}

func TestPlanSaysWhatEachDifferenceCosts(t *testing.T) {
	for name, test := range map[string]struct {
		have, want func(*Stream)
		action     Action
		text       string
	}{
		"description":            {nil, func(s *Stream) { s.Description = "x" }, Update, `description "" → "x"`},
		"a subject more":         {nil, func(s *Stream) { s.Subjects = []string{"s.>", "t"} }, Update, `subjects s.> → s.> t`},
		"longer age":             {func(s *Stream) { s.MaxAge = 48 * time.Hour }, func(s *Stream) { s.MaxAge = 72 * time.Hour }, Update, `max_age 2d → 3d`},
		"age for ever":           {func(s *Stream) { s.MaxAge = 48 * time.Hour }, nil, Update, `max_age 2d → unlimited`},
		"shorter, still older":   {nil, func(s *Stream) { s.MaxAge = 25 * time.Hour }, Update, `max_age unlimited → 25h`},
		"shorter than the first": {nil, func(s *Stream) { s.MaxAge = 23 * time.Hour }, Shrink, `the oldest message is from 2026-11-22T12:00:00Z`},
		"fewer bytes, room":      {nil, func(s *Stream) { s.MaxBytes = 2 << 20 }, Update, `max_bytes unlimited → 2MiB`},
		"fewer bytes":            {nil, func(s *Stream) { s.MaxBytes = 1 << 19 }, Shrink, `1048576 bytes are stored`},
		"fewer messages":         {nil, func(s *Stream) { s.MaxMsgs = 99 }, Shrink, `100 messages are stored`},
		"enough messages":        {nil, func(s *Stream) { s.MaxMsgs = 100 }, Update, `max_msgs unlimited → 100`},
		"fewer each":             {nil, func(s *Stream) { s.MaxMsgsPerSubject = 50 }, Shrink, `100 messages are stored on 50 subjects`},
		"enough each":            {nil, func(s *Stream) { s.MaxMsgsPerSubject = 51 }, Update, `max_msgs_per_subject unlimited → 51`},
		"interest":               {nil, func(s *Stream) { s.Retention = "interest" }, Shrink, `those that no consumer wants`},
		"workqueue":              {nil, func(s *Stream) { s.Retention = "workqueue" }, Recreate, `recreating deletes 100 messages and all consumers`},
		"memory":                 {nil, func(s *Stream) { s.Storage = "memory" }, Recreate, `storage cannot be changed`},
		"deletes again":          {func(s *Stream) { s.DenyDelete = true }, nil, Recreate, `deny_delete cannot be taken back`},
		"purges again":           {func(s *Stream) { s.DenyPurge = true }, nil, Recreate, `deny_purge cannot be taken back`},
		"no more deletes":        {nil, func(s *Stream) { s.DenyDelete = true }, Update, `deny_delete false → true`},
		"discard new":            {nil, func(s *Stream) { s.Discard = "new" }, Update, `discard old → new`},
		"compression":            {nil, func(s *Stream) { s.Compression = "s2" }, Update, `compression none → s2`},
		"direct":                 {nil, func(s *Stream) { s.AllowDirect = true }, Update, `allow_direct false → true`},
		"window":                 {nil, func(s *Stream) { s.DuplicateWindow = time.Minute }, Update, `duplicate_window 2m → 1m`},
		"transform":              {nil, func(s *Stream) { s.Transform = Transform{"s.>", "t.>"} }, Update, `subject_transform none → s.> to t.>`},
	} {
		changes, err := Plan([]StreamInfo{stored(test.have)}, []jetstream.StreamConfig{declare(test.want)}, now)
		if err != nil || len(changes) != 1 {
			t.Errorf("%s: %v %v", name, changes, err)
			continue
		}
		c := changes[0]
		if c.Action != test.action || !strings.Contains(c.String(), test.text) {
			t.Errorf("%s: %s", name, c)
		}
		if deletes := test.action == Shrink || test.action == Recreate; c.DeletesMessages() != deletes {
			t.Errorf("%s: deletes messages: %v", name, !deletes)
		}
	}
}

func TestPlanLeavesAloneWhatNeedsNothing(t *testing.T) {
	have := stored(nil)
	have.Config.Metadata = map[string]string{"_nats.ver": "2.15.2"}
	other := StreamInfo{Config: jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}}
	changes, err := Plan([]StreamInfo{have, other}, []jetstream.StreamConfig{declare(nil)}, now)
	if err != nil || len(changes) != 0 {
		t.Errorf("%v %v", changes, err)
	}
	empty := StreamInfo{Config: have.Config}
	changes, err = Plan([]StreamInfo{empty}, []jetstream.StreamConfig{declare(func(s *Stream) { s.MaxAge = time.Hour })}, now)
	if err != nil || len(changes) != 1 || changes[0].Action != Update {
		t.Errorf("an empty stream has nothing to lose: %v %v", changes, err)
	}
}

func TestPlanRefusesSubjectsOfAStreamThatIsNotDeclared(t *testing.T) {
	other := StreamInfo{Config: jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"s.a.*"}}}
	_, err := Plan([]StreamInfo{other}, []jetstream.StreamConfig{declare(nil)}, now)
	if err == nil || !strings.Contains(err.Error(), `"s.>" overlaps "s.a.*" of stream OTHER`) {
		t.Errorf("have %v", err)
	}
}

// TestDefaultsAreThoseOfAChoriaBroker compares with the requests that a Choria broker was
// seen to send: all is the same but the bounds, which Choria does not have, and that events
// are not acknowledged.
func TestDefaultsAreThoseOfAChoriaBroker(t *testing.T) {
	want := map[string]jetstream.StreamConfig{}
	defaults := DefaultConfig()
	for _, w := range defaults.StreamConfigs() {
		want[w.Name] = w
	}
	for _, name := range []string{"CHORIA_EVENTS", "CHORIA_MACHINE", "CHORIA_STREAM_ADVISORIES", "CHORIA_EXECUTOR", "KV_CHORIA_LEADER_ELECTION"} {
		text, err := os.ReadFile("testdata/" + name + ".create.json")
		if err != nil {
			t.Fatal(err)
		}
		var captured jetstream.StreamConfig
		if err := json.Unmarshal(text, &captured); err != nil {
			t.Fatal(err)
		}
		captured.Duplicates = duplicateWindow(0, captured.MaxAge)
		ours := want[name]
		if ours.MaxBytes <= 0 {
			t.Errorf("%s is not bounded", name)
		}
		captured.MaxBytes, captured.NoAck = ours.MaxBytes, ours.NoAck
		changes, err := Plan([]StreamInfo{{Config: captured}}, []jetstream.StreamConfig{ours}, now)
		if err != nil || len(changes) != 0 {
			t.Errorf("%s: %v %v", name, changes, err)
		}
	}
}

func TestTheDefaultsFitAndAreValid(t *testing.T) {
	if err := config.Load("", nil, &declared{DefaultConfig(), 20 << 30}); err != nil {
		t.Error(err)
	}
}

// declared is the part of a configuration file that this package reads.
type declared struct {
	Config
	room int64
}

func (d *declared) Validate(c *config.Check) { d.Config.Validate(c, d.room, 1<<20) }

func TestMistakesInDeclaredStreams(t *testing.T) {
	for text, want := range map[string]string{
		`[stream.A]`:                                                              `x:1: stream.A.subjects: none`,
		"[stream.A]\nsubjects = 'a..b'":                                           `x:2: stream.A.subjects: "a..b" has an empty token`,
		"[stream.A]\nsubjects = ['choria.machine.x']":                             `x:2: stream.A.subjects: "choria.machine.x" overlaps "choria.machine.>" of stream CHORIA_MACHINE`,
		"[stream.CHORIA_EVENTS]\nmax_bytes = '12GiB'":                             `jetstream.max_storage: 20GiB is less than the max_bytes of the streams in file together`,
		"[stream.'A.B']\nsubjects = 'a'":                                          `"A.B" is no name for a stream`,
		"[stream.A]\nsubjects = 'a'\nmax_age = '1m'\nduplicate_window = '2m'":     `x:4: stream.A.duplicate_window: 2m is longer than max_age, 1m`,
		"[stream.A]\nsubjects = 'a'\ndiscard_new_per_subject = true":              `x:3: stream.A.discard_new_per_subject: true has no effect`,
		"[stream.A]\nsubjects = 'a'\nmax_age = '1ms'":                             `x:3: stream.A.max_age: 1ms is too short`,
		"[stream.A]\nsubjects = 'a'\ndeny_purge = true\nallow_rollup_hdrs = true": `stream.A.deny_purge: true cannot go with`,
		"[stream.A]\nsubjects = 'a'\nstorage = 'memory'\nmax_bytes = '2MiB'":      `jetstream.max_memory: 1MiB is less than the max_bytes of the streams in memory together, 2MiB`,
		"[stream.A]\nsubjects = 'a'\nsubject_transform = {src = 'a'}":             `x:3: stream.A.subject_transform: needs both src and dest`,
		"[bucket.'a b']":           `"a b" is no name for a bucket`,
		"[bucket.B]\nhistory = 65": `x:2: bucket.B.history: 65 is out of range; it must be from 1 to 64`,
	} {
		err := config.Load("x", []byte(text), &declared{DefaultConfig(), 20 << 30})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nhave %v\nwant %s", text, err, want)
		}
	}
	d := &declared{DefaultConfig(), 20 << 30}
	err := config.Load("x", []byte("[stream.CHORIA_EVENTS]\nenabled = false\n[stream.MINE]\nsubjects = 'choria.lifecycle.>'\n"), d)
	if err != nil {
		t.Errorf("a default stream cannot be taken away: %v", err)
	}
}
