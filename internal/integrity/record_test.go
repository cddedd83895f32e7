package integrity

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRecord_KeepsFindingsUntilAccepted(t *testing.T) {
	r := New()
	lost := Finding{Code: CodeLost, Stream: "S", Messages: 10, Sequences: Ranges{{1, 10}}}
	r.Add(lost, Finding{Code: CodeConsumerLost, Stream: "S", Consumer: "C"})
	lost.Sequences = Ranges{{11, 15}}
	lost.Messages = 5
	r.Add(lost)
	open := r.Open()
	if len(open) != 2 || open[0].Messages != 15 || open[0].Sequences.String() != "1-15" {
		t.Fatalf("have %+v", open)
	}
	if n := r.Accept("T"); n != 0 {
		t.Errorf("accepted %d of another stream", n)
	}
	if n := r.Accept("S"); n != 2 || len(r.Open()) != 0 {
		t.Errorf("accepted %d, left %+v", n, r.Open())
	}
}

func TestRecord_CountsDamagedMessagesOnce(t *testing.T) {
	r := New()
	damaged := Finding{Code: CodeLost, Stream: "S", Damaged: true, Sequences: Ranges{{7, 7}}}
	if added := r.Add(damaged); len(added) != 1 || added[0].Messages != 1 {
		t.Errorf("have %+v", added)
	}
	if added := r.Add(damaged); len(added) != 0 {
		t.Errorf("found again: %+v", added)
	}
	r.Accept("S")
	damaged.Sequences = Ranges{{6, 8}}
	if added := r.Add(damaged); len(added) != 1 || added[0].Messages != 2 {
		t.Errorf("accepted ones are found again: %+v", added)
	}
	r.Add(Finding{Code: CodeLost, Stream: "S", Messages: 10, Sequences: Ranges{{1, 10}}})
	if open := r.Open(); len(open) != 1 || open[0].Messages != 10 {
		t.Errorf("counted twice: %+v", open)
	}
}

func TestRecord_KeepsTheConfigurationThatItCouldRead(t *testing.T) {
	r := New()
	s := stream(1, 10, Limits{})
	s.Meta, s.Consumers = "{}", []Consumer{{Name: "C", Meta: "{}"}}
	r.Update([]Stream{s}, seen, nil)
	s.Meta, s.Consumers = "", []Consumer{{Name: "C"}}
	r.Update([]Stream{s}, seen, nil)
	if e := r.Streams["S"]; e.Meta != "{}" || e.Consumers[0].Meta != "{}" {
		t.Errorf("have %+v", e)
	}
}

func TestRecord_SamplesCoverMaxAge(t *testing.T) {
	r := New()
	age := Limits{MaxAge: 24 * time.Hour}
	for n := range uint64(100_000) {
		r.Update([]Stream{stream(1, n+1, age)}, seen.Add(time.Duration(n)*2*time.Second), nil)
	}
	samples := r.Streams["S"].Samples
	span := samples[len(samples)-1].Time.Sub(samples[0].Time)
	if len(samples) > 2*maxSamples || span < 22*time.Hour || span > 25*time.Hour {
		t.Errorf("%d samples over %s", len(samples), span)
	}
}

func TestFile_SavesAndLoads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("have %v", err)
	}
	for n := range uint64(3) {
		r := recordOf(stream(1, n+1, Limits{}))
		if err := r.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Load(path)
	if err != nil || r.Streams["S"].Last != 3 || !r.Clean {
		t.Errorf("%v %+v", err, r)
	}
	for name, content := range map[string]string{
		"empty": "", "not JSON": "x", "other": `{"sha256":"","record":{}}`, "null": "null",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err := Load(path); err == nil || r.Streams["S"].Last != 2 || r.Clean {
				t.Errorf("%v %+v", err, r)
			}
		})
	}
	if err := errors.Join(os.Remove(path), os.Remove(path+oldSuffix)); err != nil {
		t.Fatal(err)
	}
	if r, err := Load(path); !errors.Is(err, fs.ErrNotExist) || len(r.Streams) != 0 {
		t.Errorf("%v %+v", err, r)
	}
}

func TestRanges(t *testing.T) {
	a := Ranges{{1, 5}, {10, 20}}
	for name, test := range map[string]struct{ have, want string }{
		"join":        {a.Join(Range{6, 8}, Range{15, 30}, Range{9, 3}).String(), "1-8, 10-30"},
		"within":      {a.Within(Ranges{{4, 12}}).String(), "4-5, 10-12"},
		"without":     {a.Without(Ranges{{0, 2}, {12, 14}}).String(), "3-5, 10-11, 15-20"},
		"without all": {a.Without(Ranges{{0, math.MaxUint64}}).String(), ""},
		"sequences":   {Sequences([]uint64{1, 2, 3, 7, 9, 10}).String(), "1-3, 7, 9-10"},
	} {
		if test.have != test.want {
			t.Errorf("%s: have %s, want %s", name, test.have, test.want)
		}
	}
	if a.Count() != 16 {
		t.Errorf("have %d", a.Count())
	}
}
