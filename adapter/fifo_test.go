package adapter

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFIFO_DoesWhatASliceDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var f fifo[int]
	var want []int
	for n := range 100_000 {
		switch grows := n/1000%2 == 0; {
		case r.IntN(3) > 0 == grows:
			f.push(n)
			want = append(want, n)
		case len(want) == 0:
		case r.IntN(2) == 0:
			if got := f.pop(); got != want[0] {
				t.Fatalf("step %d: the first item is %d, want %d", n, got, want[0])
			}
			want = want[1:]
		default:
			if got := f.popLast(); got != want[len(want)-1] {
				t.Fatalf("step %d: the last item is %d, want %d", n, got, want[len(want)-1])
			}
			want = want[:len(want)-1]
		}
		var got []int
		for i := range f.count {
			got = append(got, *f.at(i))
		}
		if n%100 == 0 && !slices.Equal(got, want) {
			t.Fatalf("step %d: %v, want %v", n, got, want)
		}
	}
}
