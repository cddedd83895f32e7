package bench

import (
	"strings"
	"testing"
	"time"
)

var start = time.Unix(1000, 0)

// at returns the time so many milliseconds after the start.
func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// published are the messages of two senders.
var published = []sent{
	{"a/1", 10, at(0)}, {"b/1", 10, at(1)}, {"a/2", 10, at(2)},
	{"b/2", 10, at(3)}, {"a/3", 10, at(4)}, {"b/3", 10, at(10)},
}

func TestCompare_CountsMissingDuplicatedAndOutOfOrder(t *testing.T) {
	for name, test := range map[string]struct {
		stored                          []stored
		missing, duplicated, outOfOrder int
	}{
		"all stored": {
			[]stored{{"b/1", at(5)}, {"a/1", at(6)}, {"a/2", at(7)}, {"b/2", at(8)}, {"a/3", at(9)}, {"b/3", at(20)}},
			0, 0, 0,
		},
		"two missing": {
			[]stored{{"a/1", at(5)}, {"a/3", at(6)}, {"b/1", at(7)}, {"b/3", at(20)}},
			2, 0, 0,
		},
		"one twice": {
			[]stored{
				{"a/1", at(5)}, {"a/2", at(6)}, {"a/1", at(7)}, {"a/3", at(8)}, {"b/1", at(9)}, {"b/2", at(9)}, {"b/3", at(20)},
			},
			0, 1, 0,
		},
		"overtaken": {
			[]stored{{"a/2", at(5)}, {"a/1", at(6)}, {"a/3", at(8)}, {"b/1", at(9)}, {"b/2", at(9)}, {"b/3", at(20)}},
			0, 0, 1,
		},
		"messages of another load": {
			[]stored{
				{"x/1", at(5)}, {"a/1", at(6)}, {"a/2", at(6)}, {"a/3", at(8)}, {"b/1", at(9)}, {"b/2", at(9)}, {"b/3", at(20)},
			},
			0, 0, 0,
		},
		"nothing stored": {nil, 6, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := compare(published, test.stored)
			if r.Missing != test.missing || r.Duplicated != test.duplicated || r.OutOfOrder != test.outOfOrder ||
				r.Stored != 6-test.missing || r.Bytes != 60 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestCompare_MeasuresRatesAndLatencies(t *testing.T) {
	r := compare(published, []stored{
		{"b/1", at(5)}, {"a/1", at(6)}, {"a/2", at(7)}, {"b/2", at(8)}, {"a/3", at(9)}, {"b/3", at(20)},
	})
	if r.StoredRate != 300 || r.SentRate != 600 || r.LatencyP50 != 5 || r.LatencyP999 != 6 {
		t.Errorf("%+v", r)
	}
}

func TestReadSent_ReadsOnlyLinesOfGenerate(t *testing.T) {
	all, err := readSent(strings.NewReader("a/1 10 1000000000\nb/2 20 2000000000\n"))
	if err != nil || len(all) != 2 || all[1].Key != "b/2" || all[1].Size != 20 || all[1].At.Unix() != 2 {
		t.Errorf("%v %v", all, err)
	}
	if _, err := readSent(strings.NewReader("panic: no\n")); err == nil {
		t.Error("a line that Generate does not write was read")
	}
}
