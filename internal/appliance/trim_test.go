package appliance

import (
	"testing"
	"time"
)

func TestMemoryIsGivenBackInPeaceOnly(t *testing.T) {
	const mib = 1 << 20
	now := time.Unix(1000, 0)
	var tr trim
	var allocated uint64
	second := func(allocates, spare uint64) bool {
		now = now.Add(time.Second)
		allocated += allocates
		return tr.due(allocated, 100*mib+spare, 100*mib, 0, now)
	}
	for range 60 { // under load there is no time for it
		if second(100*mib, 500*mib) {
			t.Fatal("in the middle of a load")
		}
	}
	trims := 0
	for range 60 { // after it there is, and once more for the stacks
		spare := uint64(0)
		if trims == 0 {
			spare = 500 * mib
		}
		if second(mib, spare) {
			trims++
		}
	}
	if trims != 2 {
		t.Errorf("%d times in a minute of peace", trims)
	}
	tr.rest(now, time.Second) // that took long: not again for minutes
	for range 90 {
		if second(mib, 500*mib) {
			t.Fatal("it takes all the time")
		}
	}
}
