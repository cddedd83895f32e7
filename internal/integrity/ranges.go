package integrity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// maxRanges is how many ranges a finding keeps; further ones are merged with the last.
const maxRanges = 50

// Range is the sequences from First to Last, both included.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// String returns "7" or "7-9".
func (r Range) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Ranges are sequences, in ascending order, without overlaps.
type Ranges []Range

// String lists the ranges, at most ten of them.
func (rs Ranges) String() string {
	const most = 10
	var parts []string
	for _, r := range rs[:min(len(rs), most)] {
		parts = append(parts, r.String())
	}
	if len(rs) > most {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", ")
}

// Count returns the number of sequences.
func (rs Ranges) Count() (n uint64) {
	for _, r := range rs {
		n += r.Last - r.First + 1
	}
	return n
}

// Join returns the sequences that are in either.
func (rs Ranges) Join(others ...Range) Ranges {
	all := append(slices.Clone(rs), others...)
	all = slices.DeleteFunc(all, func(r Range) bool { return r.First > r.Last })
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	var joined Ranges
	for _, r := range all {
		last := len(joined) - 1
		if last >= 0 && (joined[last].Last == math.MaxUint64 || r.First <= joined[last].Last+1) {
			joined[last].Last = max(joined[last].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// Within returns the sequences that are in both.
func (rs Ranges) Within(others Ranges) Ranges {
	var both Ranges
	for _, a := range rs {
		for _, b := range others {
			if r := (Range{max(a.First, b.First), min(a.Last, b.Last)}); r.First <= r.Last {
				both = append(both, r)
			}
		}
	}
	return both
}

// Without returns the sequences that are not in the others.
func (rs Ranges) Without(others Ranges) Ranges {
	var rest Ranges // between the others, and after the last
	next, open := uint64(0), true
	for _, r := range others {
		if r.First > next {
			rest = append(rest, Range{next, r.First - 1})
		}
		if open = r.Last < math.MaxUint64; open {
			next = r.Last + 1
		}
	}
	if open {
		rest = append(rest, Range{next, math.MaxUint64})
	}
	return rs.Within(rest)
}

// limited merges the last ranges if there are more than maxRanges.
func (rs Ranges) limited() Ranges {
	if len(rs) <= maxRanges {
		return rs
	}
	last := Range{rs[maxRanges-1].First, rs[len(rs)-1].Last}
	return append(slices.Clone(rs[:maxRanges-1]), last)
}

// Sequences returns the ranges of sequences in ascending order.
func Sequences(sequences []uint64) Ranges {
	var rs Ranges
	for _, s := range sequences {
		if last := len(rs) - 1; last >= 0 && rs[last].Last+1 == s {
			rs[last].Last = s
			continue
		}
		rs = append(rs, Range{s, s})
	}
	return rs
}
