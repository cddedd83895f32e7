package appliance

import (
	"testing"
	"time"
)

func TestTrimmer_ReturnsMemoryOnlyWhenQuiet(t *testing.T) {
	const mib = 1 << 20
	now := time.Unix(1000, 0)
	var tr trimmer
	var allocated uint64
	second := func(allocates, spare uint64) (due bool) {
		now = now.Add(time.Second)
		allocated += allocates
		return tr.isDue(allocated, 100*mib+spare, 100*mib, 0, now)
	}
	for range 60 {
		if second(100*mib, 500*mib) {
			t.Fatal("memory was returned under load")
		}
	}
	trims := 0
	for range 60 { // after the load: once for its memory, and once more for the stacks
		spare := uint64(0)
		if trims == 0 {
			spare = 500 * mib
		}
		if second(mib, spare) {
			trims++
		}
	}
	if trims != 2 {
		t.Errorf("memory was released %d times in an idle minute", trims)
	}
	tr.trimmed(now, time.Second) // so slow that the next return must wait for 100 s
	for range 90 {
		if second(mib, 500*mib) {
			t.Fatal("memory was returned too soon after a slow return")
		}
	}
}
