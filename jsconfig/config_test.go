package jsconfig

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

// TestDefaultConfig_MatchesChoriaBroker compares the default streams with the requests of a
// real Choria broker: they are the same except for the limits, which Choria does not have, and
// no_ack; and the stream of advisories does not store the requests to JetStream's API.
func TestDefaultConfig_MatchesChoriaBroker(t *testing.T) {
	ours := map[string]jetstream.StreamConfig{}
	defaults := DefaultConfig()
	for _, c := range defaults.StreamConfigs() {
		ours[c.Name] = c
	}
	for _, name := range []string{
		"CHORIA_EVENTS", "CHORIA_MACHINE", "CHORIA_STREAM_ADVISORIES", "CHORIA_EXECUTOR", "KV_CHORIA_LEADER_ELECTION",
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name + ".create.json")
			if err != nil {
				t.Fatal(err)
			}
			var captured jetstream.StreamConfig
			if err := json.Unmarshal(text, &captured); err != nil {
				t.Fatal(err)
			}
			if ours[name].MaxBytes <= 0 {
				t.Error("the stream is not bounded")
			}
			if name == "CHORIA_STREAM_ADVISORIES" {
				captured.Subjects = []string{contract.SubjectsAdvisory}
			}
			captured.Duplicates = duplicateWindow(0, captured.MaxAge)
			captured.MaxBytes, captured.NoAck = ours[name].MaxBytes, ours[name].NoAck
			changes, err := Plan([]StreamInfo{{Config: captured}}, []jetstream.StreamConfig{ours[name]}, now)
			if err != nil || len(changes) != 0 {
				t.Errorf("%v %v", changes, err)
			}
		})
	}
}

func TestDefaultConfig_IsValid(t *testing.T) {
	if err := config.Load("", nil, &root{DefaultConfig(), 20 << 30}); err != nil {
		t.Error(err)
	}
}

// root is a configuration file that holds nothing but streams and buckets.
type root struct {
	Config
	maxStorage int64
}

func (r *root) Validate(c *config.Check) { r.Config.Validate(c, r.maxStorage, 1<<20) }

func TestConfig_Validate(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no subjects", "[stream.A]",
			`x:1: stream.A.subjects: no subjects`},
		{"empty token", "[stream.A]\nsubjects = 'a..b'",
			`x:2: stream.A.subjects: "a..b" has an empty token`},
		{"overlap with a default", "[stream.A]\nsubjects = ['choria.machine.x']",
			`x:2: stream.A.subjects: "choria.machine.x" overlaps "choria.machine.>" of stream CHORIA_MACHINE`},
		{"more than max_storage", "[stream.CHORIA_EVENTS]\nmax_bytes = '12GiB'",
			`jetstream.max_storage: 20GiB is less than 24848MiB, the sum of max_bytes of all streams`},
		{"stream name", "[stream.'A.B']\nsubjects = 'a'",
			`"A.B" is not a valid name for a stream`},
		{"duplicate_window", "[stream.A]\nsubjects = 'a'\nmax_age = '1m'\nduplicate_window = '2m'",
			`x:4: stream.A.duplicate_window: 2m is longer than max_age, 1m`},
		{"discard_new_per_subject", "[stream.A]\nsubjects = 'a'\ndiscard_new_per_subject = true",
			`x:3: stream.A.discard_new_per_subject: true has no effect`},
		{"max_age", "[stream.A]\nsubjects = 'a'\nmax_age = '1ms'",
			`x:3: stream.A.max_age: 1ms is too short`},
		{"deny_purge", "[stream.A]\nsubjects = 'a'\ndeny_purge = true\nallow_rollup_hdrs = true",
			`stream.A.deny_purge: true cannot be combined with`},
		{"more than max_memory", "[stream.A]\nsubjects = 'a'\nstorage = 'memory'\nmax_bytes = '2MiB'",
			`jetstream.max_memory: 1MiB is less than 2MiB, the sum of max_bytes of all streams with storage = "memory"`},
		{"subject_transform", "[stream.A]\nsubjects = 'a'\nsubject_transform = {src = 'a'}",
			`x:3: stream.A.subject_transform: needs both src and dest`},
		{"bucket name", "[bucket.'a b']",
			`"a b" is not a valid name for a bucket`},
		{"history", "[bucket.B]\nhistory = 65",
			`x:2: bucket.B.history: 65 is out of range; it must be from 1 to 64`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := config.Load("x", []byte(test.text), &root{DefaultConfig(), 20 << 30})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s\nhave %v\nwant %s", test.text, err, test.want)
			}
		})
	}
}

func TestConfig_ADefaultStreamCanBeDisabled(t *testing.T) {
	text := "[stream.CHORIA_EVENTS]\nenabled = false\n[stream.MINE]\nsubjects = 'choria.lifecycle.>'\n"
	if err := config.Load("x", []byte(text), &root{DefaultConfig(), 20 << 30}); err != nil {
		t.Error(err)
	}
}
