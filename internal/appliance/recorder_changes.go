package appliance

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/integrity"
)

// change is what a request to JetStream's API may change: a stream or a consumer.
type change struct {
	stream   string
	consumer string // empty: the stream
	deletes  bool   // it deletes the stream
	restores bool   // it begins to restore the stream; its answer comes before that
	single   bool   // it deletes one message
}

// parseChange returns what a request may remove, or nil if that is nothing. The operation is the rest of a
// subject after "$JS.API.".
func parseChange(operation string) *change {
	words := strings.Split(operation, ".")
	stream := words[len(words)-1]
	switch strings.TrimSuffix(operation, "."+stream) {
	case "STREAM.DELETE":
		return &change{stream: stream, deletes: true}
	case "STREAM.RESTORE":
		return &change{stream: stream, restores: true}
	case "STREAM.MSG.DELETE":
		return &change{stream: stream, single: true}
	case "STREAM.PURGE", "STREAM.UPDATE":
		return &change{stream: stream}
	}
	return parseConsumer(words)
}

// parseConsumer returns the consumer that a request deletes, resets, creates or changes; nil for another
// request.
func parseConsumer(words []string) *change {
	if len(words) < 2 || words[0] != "CONSUMER" {
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
	return &change{stream: words[n], consumer: words[n+1]}
}

// announce makes a record expect the change.
func (c *change) announce(r *integrity.Record) {
	if c.consumer != "" {
		r.ConsumerDeleted(c.stream, c.consumer)
		return
	}
	r.StreamChanging(c.stream, c.deletes)
}

// changeAnswer is the part of JetStream's answers that says what was removed.
type changeAnswer struct {
	Error  *struct{} `json:"error"` // nil: done
	Purged uint64    `json:"purged"`
}

// removed returns how many messages a request has removed. What lower limits of an update remove, the
// limits explain.
func (c *change) removed(a changeAnswer) uint64 {
	if c.single && a.Error == nil {
		return 1
	}
	return a.Purged
}

// changing is called before JetStream receives a request, and done with its answer; nil: there was none. No
// comparison takes for a loss what the request removes in between, also not after a crash.
func (r *recorder) changing(operation string) (done func(answer []byte)) {
	c := parseChange(operation)
	if c == nil {
		return func([]byte) {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes[c] = true
	r.touched[c.stream] = true
	r.edit(c.announce, time.Now())
	return func(answer []byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.changes, c)
		r.touched[c.stream] = true
		var a changeAnswer
		unknown := json.Unmarshal(answer, &a) != nil
		done := a.Error == nil
		switch {
		case unknown, c.consumer != "", c.restores && done:
			r.edit(c.announce, time.Now())
		case c.deletes && done:
			r.edit(func(record *integrity.Record) { record.StreamDeleted(c.stream) }, time.Now())
		default:
			r.answered(c.stream, c.removed(a))
		}
	}
}

// noteConsumer is called after a request about a consumer, which changing may not know.
func (r *recorder) noteConsumer(operation string, now time.Time) {
	c := parseConsumer(strings.Split(operation, "."))
	if c == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched[c.stream] = true
	r.edit(c.announce, now)
}

// edit changes every record, also the one in the file. The caller holds r.mu.
func (r *recorder) edit(edit func(*integrity.Record), now time.Time) {
	if !r.started {
		return
	}
	before := r.record.Clone()
	for _, record := range []*integrity.Record{r.record, r.live, r.pending} {
		if record != nil {
			edit(record)
		}
	}
	if changed(before, r.record) {
		r.save(now)
	}
}

// answered notes how many messages a request has removed, unless others about the stream go on. The file
// still expects any number, until the next states replace it. The caller holds r.mu.
func (r *recorder) answered(stream string, removed uint64) {
	if !r.started {
		return
	}
	for _, record := range []*integrity.Record{r.live, r.pending} {
		if record == nil {
			continue
		}
		record.StreamChanged(stream, removed)
		for c := range r.changes {
			c.announce(record)
		}
	}
}

// unsettled returns the streams whose last state is kept: they lack messages, which the API may explain, or
// were being changed since they were read. The caller holds r.mu.
func (r *recorder) unsettled() map[string]bool {
	kept := maps.Clone(r.touched)
	maps.Copy(kept, r.suspects)
	for c := range r.changes {
		if c.consumer == "" {
			kept[c.stream] = true
		}
	}
	return kept
}
