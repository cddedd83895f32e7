package integrity

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seen    = created.Add(24 * time.Hour)
)

// stream returns a stream with the sequences from first to last, all of them stored.
func stream(first, last uint64, l Limits) Stream {
	l.MaxMsgSize = 1000
	return Stream{
		Name: "S", Created: created, First: first, Last: last, LastTime: seen, Messages: last + 1 - first,
		Bytes: (last + 1 - first) * 100, Limits: l,
	}
}

// without returns the stream without n of its inner messages.
func (s Stream) without(n uint64) Stream {
	s.Messages -= n
	s.Bytes -= n * 100
	return s
}

func recordOf(s Stream, samples ...Sample) *Record {
	r := New()
	r.Clean = true
	r.Streams[s.Name] = &Entry{Stream: s, Seen: seen, Samples: samples}
	return r
}

func TestCompare_CountsWhatLimitsDoNotExplain(t *testing.T) {
	none := Limits{}
	perSubject, maxMsgs, maxBytes := Limits{MaxPerSubject: 5}, Limits{MaxMsgs: 100}, Limits{MaxBytes: 10_000}
	hour := Limits{MaxAge: time.Hour}
	for _, test := range []struct {
		name         string
		before, have Stream
		after        time.Duration
		lost         uint64
	}{
		{"nothing changed", stream(1, 100, none), stream(1, 100, none), 0, 0},
		{"more stored", stream(1, 100, none), stream(1, 150, none), 0, 0},
		{"the end is gone", stream(1, 100, none), stream(1, 90, none), 0, 10},
		{"the beginning is gone", stream(1, 100, none), stream(11, 100, none), 0, 10},
		{"inner messages are gone", stream(1, 100, none), stream(1, 100, none).without(7), 0, 7},
		{"inner messages are gone, more stored", stream(1, 100, none), stream(1, 150, none).without(7), 0, 7},
		{"all is gone", stream(1, 100, none), Stream{Created: created, First: 101, Last: 100}, 0, 100},
		{"created anew", stream(1, 100, none), Stream{Created: seen}, 0, 100},
		{"per subject: nothing stored since", stream(1, 100, perSubject), stream(1, 100, perSubject).without(1), 0, 1},
		{"per subject: displaced", stream(1, 100, perSubject), stream(1, 120, perSubject).without(20), 0, 0},
		{"per subject: more than displaced", stream(1, 100, perSubject), stream(1, 120, perSubject).without(25), 0, 5},
		{"max_msgs: displaced", stream(1, 100, maxMsgs), stream(21, 120, maxMsgs), 0, 0},
		{"max_msgs: more than displaced", stream(1, 100, maxMsgs), stream(31, 120, maxMsgs), 0, 10},
		{"max_msgs: not reached", stream(1, 50, maxMsgs), stream(11, 60, maxMsgs), 0, 10},
		{"max_bytes: removes the oldest", stream(1, 100, maxBytes), stream(60, 120, maxBytes), 0, 0},
		{"max_bytes: removes no inner ones", stream(1, 100, maxBytes), stream(10, 120, maxBytes).without(3), 0, 3},
		{"max_bytes: not reached", stream(1, 10, maxBytes), stream(6, 11, maxBytes), 0, 5},
		{"max_age: too young", stream(1, 100, hour), stream(11, 100, hour), 5 * time.Minute, 10},
		{"max_age: old enough", stream(1, 100, hour), stream(11, 100, hour), 2 * time.Hour, 0},
		{
			"max_age: all", stream(1, 100, hour), Stream{Created: created, First: 101, Last: 100, Limits: hour},
			2 * time.Hour, 0,
		},
		{"max_age: no inner ones", stream(1, 100, hour), stream(11, 100, hour).without(4), 2 * time.Hour, 4},
		{"a limit was lowered", stream(1, 100, none), stream(91, 100, Limits{MaxMsgs: 10}), 0, 0},
		{"replaced by a newer one", stream(1, 100, Limits{Replaces: true}), stream(101, 101, Limits{Replaces: true}), 0, 0},
		{"replaced by none", stream(1, 100, Limits{Replaces: true}), stream(51, 100, Limits{Replaces: true}), 0, 50},
		{"transient", stream(1, 100, Limits{Transient: true}), stream(51, 100, Limits{Transient: true}), 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.have.Name = "S"
			// Half of the messages are between 30 and 50 minutes older than the state.
			r := recordOf(test.before, Sample{seen.Add(-50 * time.Minute), 0}, Sample{seen.Add(-30 * time.Minute), 50})
			var lost uint64
			for _, f := range r.Compare([]Stream{test.have}, seen.Add(test.after)) {
				if f.Code != CodeLost {
					t.Errorf("have %s: %s", f.Code, &f)
				}
				lost += f.Messages
			}
			if lost != test.lost {
				t.Errorf("have %d lost, want %d", lost, test.lost)
			}
		})
	}
}

func TestCompare_SamplesBoundTheAge(t *testing.T) {
	day := Limits{MaxAge: 24 * time.Hour}
	r := recordOf(stream(1, 300, day), Sample{seen.Add(-20 * time.Hour), 100}, Sample{seen.Add(-10 * time.Hour), 200})
	// Six hours later only the first 100 may have expired.
	have := stream(151, 300, day)
	found := r.Compare([]Stream{have}, seen.Add(6*time.Hour-2*time.Hour))
	if len(found) != 1 || found[0].Messages != 50 {
		t.Fatalf("have %+v", found)
	}
	found[0].Locate(&have, nil)
	if s := found[0].Sequences.String(); s != "101-150" {
		t.Errorf("have the sequences %s", s)
	}
}

func TestCompare_NamesWhatHappened(t *testing.T) {
	for name, test := range map[string]struct {
		have []Stream
		code string
		text string
	}{
		"missing":      {nil, CodeLost, "100 messages are missing: sequences 1-100; the stream does not exist"},
		"created anew": {[]Stream{{Name: "S", Created: seen}}, CodeLost, "the last sequence was 100 and is 0"},
		"only the sequence": {
			[]Stream{{Name: "S", Created: created, Limits: Limits{Transient: true}}},
			CodeSequences, "the last sequence was 100 and is 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := recordOf(stream(1, 100, Limits{})).Compare(test.have, seen)
			if len(found) != 1 || found[0].Code != test.code || !strings.Contains(found[0].String(), test.text) {
				t.Errorf("have %+v", found)
			}
		})
	}
}

func TestCompare_AfterARemovalThroughTheAPIOnlyTheLastSequenceCounts(t *testing.T) {
	r := recordOf(stream(1, 100, Limits{}))
	r.StreamChanging("S", false)
	if found := r.Compare([]Stream{{Name: "S", Created: created, First: 101, Last: 100}}, seen); len(found) > 0 {
		t.Errorf("have %+v", found)
	}
	if found := r.Compare([]Stream{stream(1, 99, Limits{})}, seen); len(found) != 1 || found[0].Code != CodeSequences {
		t.Errorf("have %+v", found)
	}
	r.StreamDeleted("S")
	if found := r.Compare(nil, seen); len(found) > 0 {
		t.Errorf("have %+v", found)
	}
}

func TestCompare_Consumers(t *testing.T) {
	for name, test := range map[string]struct {
		have  []Consumer
		clean bool
		want  string
	}{
		"the same": {[]Consumer{{Name: "C", AckFloor: 50}}, true, ""},
		"missing":  {nil, true, "consumer-lost S/C: its ack floor was 50"},
		"behind": {
			[]Consumer{{Name: "C", AckFloor: 40}}, false,
			"consumer-reset S/C: its ack floor was 50 and is 40: messages are delivered again",
		},
		"ahead": {
			[]Consumer{{Name: "C", AckFloor: 60}}, true,
			"consumer-reset S/C: its ack floor was 50 and is 60: messages are not delivered",
		},
		"ahead after a crash": {[]Consumer{{Name: "C", AckFloor: 60}}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := stream(1, 100, Limits{})
			before.Consumers = []Consumer{{Name: "C", AckFloor: 50}}
			r := recordOf(before)
			r.Clean = test.clean
			have := stream(1, 100, Limits{})
			have.Consumers = test.have
			var text string
			for _, f := range r.Compare([]Stream{have}, seen) {
				text += fmt.Sprintf("%s %s: %s", f.Code, f.Subject(), f.Cause)
			}
			if text != test.want {
				t.Errorf("have %q, want %q", text, test.want)
			}
			r.ConsumerDeleted("S", "C")
			if found := r.Compare([]Stream{have}, seen); len(found) > 0 {
				t.Errorf("have %+v after the consumer was deleted", found)
			}
		})
	}
}

func TestFinding_LocateLeavesOnlyAbsentSequences(t *testing.T) {
	have := stream(11, 90, Limits{})
	f := Finding{Sequences: Ranges{{1, 100}}}
	f.Locate(&have, Ranges{{20, 22}, {30, 30}})
	if s := f.Sequences.String(); s != "1-10, 20-22, 30, 91-100" {
		t.Errorf("have %s", s)
	}
}
