package appliance

import (
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/integrity"
)

// change is what a request to JetStream's API may change.
type change struct {
	note func(*integrity.Record) // makes a record expect it
}

// parseChange returns what a request may remove, or nil if that is nothing. The operation is the rest of a
// subject after "$JS.API.".
func parseChange(operation string) *change {
	words := strings.Split(operation, ".")
	stream := words[len(words)-1]
	switch strings.TrimSuffix(operation, "."+stream) {
	case "STREAM.DELETE":
		return &change{func(r *integrity.Record) { r.StreamDeleted(stream) }}
	case "STREAM.PURGE", "STREAM.MSG.DELETE", "STREAM.UPDATE", "STREAM.RESTORE":
		return &change{func(r *integrity.Record) { r.MessagesRemoved(stream) }}
	}
	if words[0] != "CONSUMER" {
		return nil
	}
	if c := consumerIn(words); c != nil {
		return &change{func(r *integrity.Record) { r.ConsumerDeleted(c[0], c[1]) }}
	}
	return nil
}

// consumerIn returns the stream and the consumer that a request deletes, resets, creates or changes;
// nil for another request.
func consumerIn(words []string) []string {
	if len(words) < 2 {
		return nil
	}
	n := 2 // CONSUMER.DELETE.<stream>.<consumer>
	switch words[1] {
	case "DELETE", "RESET", "CREATE":
	case "DURABLE":
		n = 3 // CONSUMER.DURABLE.CREATE.<stream>.<consumer>
	default:
		return nil
	}
	if len(words) < n+2 {
		return nil
	}
	return words[n : n+2]
}

// changing is called before JetStream receives a request, and done after its answer. No comparison takes
// for a loss what the request removes in between, also not after a crash.
func (r *recorder) changing(operation string) (done func()) {
	c := parseChange(operation)
	if c == nil {
		return func() {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes[c] = true
	r.expect(c, time.Now())
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.changes, c)
		r.expect(c, time.Now())
	}
}

// noteChange is called after a request that changing may not know.
func (r *recorder) noteChange(operation string, now time.Time) {
	c := parseChange(operation)
	if c == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expect(c, now)
}

// expect makes every record expect a change, also the one in the file. The caller holds r.mu.
func (r *recorder) expect(c *change, now time.Time) {
	if !r.started {
		return
	}
	before := r.record.Clone()
	for _, record := range []*integrity.Record{r.record, r.live, r.pending} {
		if record != nil {
			c.note(record)
		}
	}
	if changed(before, r.record) {
		r.save(now)
	}
}
