package bench

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// stored is one message of the stream.
type stored struct {
	Key string // sender/request id
	At  time.Time
}

// Result is what happened to the messages of a load. Rates are messages a second.
type Result struct {
	Messages    int     `json:"messages"`
	Bytes       int64   `json:"bytes"`
	Stored      int     `json:"stored"`       // published, and in the stream
	Missing     int     `json:"missing"`      // published, but not in the stream
	Duplicated  int     `json:"duplicated"`   // in the stream more than once
	OutOfOrder  int     `json:"out_of_order"` // stored after a later message of the same sender
	SentRate    float64 `json:"sent_per_second"`
	StoredRate  float64 `json:"stored_per_second"` // from the first publish to the last stored
	LatencyP50  float64 `json:"latency_p50_ms"`    // from when it was published until it was stored
	LatencyP99  float64 `json:"latency_p99_ms"`
	LatencyP999 float64 `json:"latency_p999_ms"`

	Server *Usage  `json:"server,omitempty"` // nil for a server that is not on this machine
	Ledger *Ledger `json:"ledger,omitempty"` // what the adapters counted

	Ceiling *Ceiling `json:"ceiling,omitempty"` // the same load without an adapter
}

// Ceiling is the most that the machine can do: the same messages, published directly into the
// same kind of stream of an appliance without adapters, each acknowledged to its publisher.
type Ceiling struct {
	StoredRate    float64 `json:"stored_per_second"`
	CPUPerMessage float64 `json:"cpu_us_per_message"`
	RateRatio     float64 `json:"stored_of_ceiling"` // the rate with an adapter, divided by StoredRate
	CPURatio      float64 `json:"cpu_times_ceiling"` // processor time with an adapter, divided by CPUPerMessage
}

// compareCeiling adds the result of the same load without an adapter.
func (r *Result) compareCeiling(direct Result) {
	r.Ceiling = &Ceiling{StoredRate: direct.StoredRate, RateRatio: r.StoredRate / direct.StoredRate}
	if r.Server != nil && direct.Server != nil {
		r.Ceiling.CPUPerMessage = direct.Server.CPUPerMessage
		r.Ceiling.CPURatio = r.Server.CPUPerMessage / direct.Server.CPUPerMessage
	}
}

// readSent reads what Generate wrote.
func readSent(r io.Reader) ([]sent, error) {
	var all []sent
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var s sent
		var at int64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &s.Key, &s.Size, &at); err != nil {
			return nil, fmt.Errorf("read the generator's line %q: %w", lines.Text(), err)
		}
		s.At = time.Unix(0, at)
		all = append(all, s)
	}
	return all, lines.Err()
}

// compare compares the messages of the stream, in its order, with the published ones.
func compare(published []sent, inStream []stored) Result {
	if len(published) == 0 {
		return Result{}
	}
	c := newCounter(published)
	for _, m := range inStream {
		c.add(m)
	}
	return c.result()
}

// counter counts messages for a Result.
type counter struct {
	Result
	sent        map[string]numberedMessage // by key
	seen        map[string]bool            // keys that are in the stream
	newest      map[string]int             // by sender: the highest number of a stored message
	latencies   []time.Duration
	first, last time.Time // when the first and the last message were published
	end         time.Time // when the last message was stored
}

// numberedMessage is a published message with its number, counted from 0 for each sender.
type numberedMessage struct {
	sent
	sender string
	number int
}

func newCounter(published []sent) *counter {
	c := &counter{
		sent:   make(map[string]numberedMessage, len(published)),
		seen:   make(map[string]bool, len(published)),
		newest: map[string]int{},
		first:  published[0].At, last: published[0].At,
	}
	numbers := map[string]int{}
	for _, s := range published {
		sender, _, _ := strings.Cut(s.Key, "/")
		c.sent[s.Key] = numberedMessage{s, sender, numbers[sender]}
		numbers[sender]++
		c.Bytes += int64(s.Size)
		if s.At.Before(c.first) {
			c.first = s.At
		}
		if s.At.After(c.last) {
			c.last = s.At
		}
	}
	c.Messages, c.end = len(published), c.first
	return c
}

// add counts the next message of the stream. Messages that the load did not publish are ignored.
func (c *counter) add(m stored) {
	s, known := c.sent[m.Key]
	switch {
	case !known:
		return
	case c.seen[m.Key]:
		c.Duplicated++
		return
	case s.number < c.newest[s.sender]:
		c.OutOfOrder++
	}
	c.seen[m.Key] = true
	c.newest[s.sender] = max(c.newest[s.sender], s.number)
	c.latencies = append(c.latencies, m.At.Sub(s.At))
	if m.At.After(c.end) {
		c.end = m.At
	}
}

func (c *counter) result() Result {
	r := c.Result
	r.Stored = len(c.seen)
	r.Missing = r.Messages - r.Stored
	r.SentRate = rate(r.Messages, c.last.Sub(c.first))
	r.StoredRate = rate(r.Stored, c.end.Sub(c.first))
	slices.Sort(c.latencies)
	r.LatencyP50 = percentile(c.latencies, 0.5)
	r.LatencyP99 = percentile(c.latencies, 0.99)
	r.LatencyP999 = percentile(c.latencies, 0.999)
	return r
}

func rate(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// percentile returns the p-th part, from 0 to 1, of sorted durations, in milliseconds.
func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(float64(len(sorted)-1)*p)].Microseconds()) / 1000
}
