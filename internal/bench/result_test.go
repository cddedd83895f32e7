package bench

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestCompareFindsWhatIsMissingTwiceOrOutOfOrder(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	published := []sent{
		{"a/1", 10, at(0)}, {"b/1", 10, at(1)}, {"a/2", 10, at(2)}, {"b/2", 10, at(3)}, {"a/3", 10, at(4)}, {"b/3", 10, at(10)},
	}
	for name, test := range map[string]struct {
		have                            []stored
		missing, duplicated, outOfOrder int
	}{
		"all well":     {[]stored{{"b/1", at(5)}, {"a/1", at(6)}, {"a/2", at(7)}, {"b/2", at(8)}, {"a/3", at(9)}, {"b/3", at(20)}}, 0, 0, 0},
		"two missing":  {[]stored{{"a/1", at(5)}, {"a/3", at(6)}, {"b/1", at(7)}, {"b/3", at(20)}}, 2, 0, 0},
		"one twice":    {[]stored{{"a/1", at(5)}, {"a/2", at(6)}, {"a/1", at(7)}, {"a/3", at(8)}, {"b/1", at(9)}, {"b/2", at(9)}, {"b/3", at(20)}}, 0, 1, 0},
		"overtaken":    {[]stored{{"a/2", at(5)}, {"a/1", at(6)}, {"a/3", at(8)}, {"b/1", at(9)}, {"b/2", at(9)}, {"b/3", at(20)}}, 0, 0, 1},
		"others' too":  {[]stored{{"x/1", at(5)}, {"a/1", at(6)}, {"a/2", at(6)}, {"a/3", at(8)}, {"b/1", at(9)}, {"b/2", at(9)}, {"b/3", at(20)}}, 0, 0, 0},
		"nothing came": {nil, 6, 0, 0},
	} {
		r := compare(published, test.have)
		if r.Missing != test.missing || r.Duplicated != test.duplicated || r.OutOfOrder != test.outOfOrder || r.Stored != 6-test.missing || r.Bytes != 60 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	r := compare(published, []stored{{"b/1", at(5)}, {"a/1", at(6)}, {"a/2", at(7)}, {"b/2", at(8)}, {"a/3", at(9)}, {"b/3", at(20)}})
	if r.StoredRate != 300 || r.SentRate != 600 || r.LatencyP50 != 5 || r.LatencyP999 != 6 {
		t.Errorf("%+v", r)
	}
}

func TestReadSentRefusesWhatGenerateDidNotWrite(t *testing.T) {
	all, err := readSent(strings.NewReader("a/1 10 1000000000\nb/2 20 2000000000\n"))
	if err != nil || len(all) != 2 || all[1].Key != "b/2" || all[1].Size != 20 || all[1].At.Unix() != 2 {
		t.Errorf("%v %v", all, err)
	}
	if _, err := readSent(strings.NewReader("panic: no\n")); err == nil {
		t.Error("nonsense is read")
	}
}

func TestTheUsageOfAProcessIsRead(t *testing.T) {
	deadline := time.Now().Add(100 * time.Millisecond)
	for time.Now().Before(deadline) { // use the processor
	}
	cpu, err := processorTime(os.Getpid())
	if err != nil || cpu <= 0 {
		t.Errorf("%s %v", cpu, err)
	}
	if peak, err := peakMemory(os.Getpid()); err != nil || peak < 1<<20 {
		t.Errorf("%d %v", peak, err)
	}
	if _, err := processorTime(1 << 30); err == nil {
		t.Error("a process that is not there has used the processor")
	}
}
