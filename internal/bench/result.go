package bench

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// stored is one message that the stream has, in the stream's order.
type stored struct {
	Key string
	At  time.Time
}

// Result is what became of a load.
type Result struct {
	Messages    int     `json:"messages"`
	Bytes       int64   `json:"bytes"`
	Stored      int     `json:"stored"`     // sent and in the stream
	Missing     int     `json:"missing"`    // sent and not in the stream
	Duplicated  int     `json:"duplicated"` // in the stream more than once
	OutOfOrder  int     `json:"out_of_order"`
	SentRate    float64 `json:"sent_per_second"`
	StoredRate  float64 `json:"stored_per_second"` // from the first publish to the last stored
	LatencyP50  float64 `json:"latency_p50_ms"`    // from publish to stored
	LatencyP99  float64 `json:"latency_p99_ms"`
	LatencyP999 float64 `json:"latency_p999_ms"`

	Server *Usage  `json:"server,omitempty"` // where it runs on this machine
	Ledger *Ledger `json:"ledger,omitempty"` // what the appliance counted of this load

	Ceiling *Ceiling `json:"ceiling,omitempty"` // the same load without an adapter
}

// Ceiling is what the machine can do at most: the same messages, straight into an equal
// stream of a server that does nothing else, each acknowledged to who publishes it.
type Ceiling struct {
	StoredRate    float64 `json:"stored_per_second"`
	CPUPerMessage float64 `json:"cpu_us_per_message"`
	OfRate        float64 `json:"stored_of_ceiling"` // the result's rate, as a part of the ceiling's
	TimesCPU      float64 `json:"cpu_times_ceiling"`
}

// Under compares the result with that of the same load without an adapter.
func (r *Result) Under(bare Result) {
	r.Ceiling = &Ceiling{StoredRate: bare.StoredRate, OfRate: r.StoredRate / bare.StoredRate}
	if r.Server != nil && bare.Server != nil {
		r.Ceiling.CPUPerMessage = bare.Server.CPUPerMessage
		r.Ceiling.TimesCPU = r.Server.CPUPerMessage / bare.Server.CPUPerMessage
	}
}

// Ledger is the adapter's own account of the load.
type Ledger struct {
	Received  uint64 `json:"received"`
	Stored    uint64 `json:"stored"`
	Duplicate uint64 `json:"duplicate"`
	Rejected  uint64 `json:"rejected"`
	Dropped   uint64 `json:"dropped"`
	Pending   uint64 `json:"pending"`
}

// readSent reads what Generate wrote.
func readSent(r io.Reader) ([]sent, error) {
	var all []sent
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var s sent
		var at int64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &s.Key, &s.Size, &at); err != nil {
			return nil, fmt.Errorf("read what was sent: %w", err)
		}
		s.At = time.Unix(0, at)
		all = append(all, s)
	}
	return all, lines.Err()
}

// compare holds what the stream has against what was sent.
func compare(published []sent, have []stored) Result {
	if len(published) == 0 {
		return Result{}
	}
	t := newTally(published)
	for _, h := range have {
		t.add(h)
	}
	return t.result()
}

// tally is a Result in the making.
type tally struct {
	Result
	sent        map[string]turn
	seen        map[string]bool
	newest      map[string]int // of each sender, the latest turn that was stored
	latencies   []time.Duration
	first, last time.Time // publish
	end         time.Time // stored
}

// turn is a message that was sent, and which of its sender's it was.
type turn struct {
	sent
	sender string
	number int
}

func newTally(published []sent) *tally {
	t := &tally{
		sent:   make(map[string]turn, len(published)),
		seen:   make(map[string]bool, len(published)),
		newest: map[string]int{},
		first:  published[0].At, last: published[0].At,
	}
	turns := map[string]int{}
	for _, s := range published {
		sender, _, _ := strings.Cut(s.Key, "/")
		t.sent[s.Key] = turn{s, sender, turns[sender]}
		turns[sender]++
		t.Bytes += int64(s.Size)
		if s.At.Before(t.first) {
			t.first = s.At
		}
		if s.At.After(t.last) {
			t.last = s.At
		}
	}
	t.Messages, t.end = len(published), t.first
	return t
}

// add takes the next message of the stream; what others published does not count.
func (t *tally) add(h stored) {
	s, ours := t.sent[h.Key]
	switch {
	case !ours:
		return
	case t.seen[h.Key]:
		t.Duplicated++
		return
	case s.number < t.newest[s.sender]:
		t.OutOfOrder++
	}
	t.seen[h.Key] = true
	t.newest[s.sender] = max(t.newest[s.sender], s.number)
	t.latencies = append(t.latencies, h.At.Sub(s.At))
	if h.At.After(t.end) {
		t.end = h.At
	}
}

func (t *tally) result() Result {
	r := t.Result
	r.Stored = len(t.seen)
	r.Missing = r.Messages - r.Stored
	r.SentRate = rate(r.Messages, t.last.Sub(t.first))
	r.StoredRate = rate(r.Stored, t.end.Sub(t.first))
	slices.Sort(t.latencies)
	r.LatencyP50 = percentile(t.latencies, 0.5)
	r.LatencyP99 = percentile(t.latencies, 0.99)
	r.LatencyP999 = percentile(t.latencies, 0.999)
	return r
}

func rate(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// percentile is in milliseconds; the durations are sorted.
func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(float64(len(sorted)-1)*p)].Microseconds()) / 1000
}
