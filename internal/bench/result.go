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
	r := Result{Messages: len(published)}
	if len(published) == 0 {
		return r
	}
	at := make(map[string]sent, len(published))
	turn := make(map[string]int, len(published)) // which of its sender's messages
	turns := map[string]int{}
	first, last := published[0].At, published[0].At
	for _, s := range published {
		at[s.Key] = s
		sender, _, _ := strings.Cut(s.Key, "/")
		turn[s.Key] = turns[sender]
		turns[sender]++
		r.Bytes += int64(s.Size)
		if s.At.Before(first) {
			first = s.At
		}
		if s.At.After(last) {
			last = s.At
		}
	}
	r.SentRate = rate(len(published), last.Sub(first))
	seen := make(map[string]bool, len(have))
	newest := map[string]int{}
	var latencies []time.Duration
	end := first
	for _, h := range have {
		s, ours := at[h.Key]
		if !ours {
			continue
		}
		if seen[h.Key] {
			r.Duplicated++
			continue
		}
		seen[h.Key] = true
		sender, _, _ := strings.Cut(h.Key, "/")
		if turn[h.Key] < newest[sender] {
			r.OutOfOrder++
		}
		newest[sender] = max(newest[sender], turn[h.Key])
		latencies = append(latencies, h.At.Sub(s.At))
		if h.At.After(end) {
			end = h.At
		}
	}
	r.Stored = len(seen)
	r.Missing = len(published) - r.Stored
	r.StoredRate = rate(r.Stored, end.Sub(first))
	slices.Sort(latencies)
	r.LatencyP50 = percentile(latencies, 0.5)
	r.LatencyP99 = percentile(latencies, 0.99)
	r.LatencyP999 = percentile(latencies, 0.999)
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
