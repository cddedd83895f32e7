package integrity

import (
	"maps"
	"slices"
	"time"
)

// Record is what is known of the streams and was on the disk when it was written. It is not safe
// for concurrent use.
type Record struct {
	Written  time.Time         `json:"written"`
	Clean    bool              `json:"clean"` // the appliance had stopped: nothing was stored afterwards
	Streams  map[string]*Entry `json:"streams"`
	Findings []Finding         `json:"findings,omitempty"`
}

// New returns an empty record.
func New() *Record { return &Record{Streams: map[string]*Entry{}} }

// Compare returns what the streams lack, in order of their names. Call it after the streams were
// recovered from the disk, before anything changes them.
func (r *Record) Compare(have []Stream, now time.Time) []Finding {
	var found []Finding
	for _, name := range slices.Sorted(maps.Keys(r.Streams)) {
		e := r.Streams[name]
		i := slices.IndexFunc(have, func(s Stream) bool { return s.Name == name })
		if e.Deleting && (i < 0 || !have[i].Created.Equal(e.Created)) {
			continue
		}
		if i < 0 {
			found = append(found, e.gone(now))
			continue
		}
		if f, ok := e.compare(&have[i], now); ok {
			found = append(found, f)
		}
		found = append(found, e.compareConsumers(&have[i], now, r.Clean && have[i].Last == e.Last)...)
	}
	return found
}

// gone returns the finding for a stream that does not exist.
func (e *Entry) gone(now time.Time) Finding {
	f := Finding{Code: CodeLost, Stream: e.Name, Since: e.Seen, Noticed: now, Cause: "the stream does not exist"}
	empty := Stream{First: e.Last + 1, Last: e.Last, Limits: e.Limits}
	if f.Messages = sub(e.Messages, e.explained(&empty, 0, now)); f.Messages > 0 {
		f.Sequences = e.candidates(&empty, now)
	}
	return f
}

// CompareRunning is Compare while the server runs. It leaves out streams that were deleted or
// created anew, and consumers: only the API can do that.
func (r *Record) CompareRunning(have []Stream, now time.Time) []Finding {
	var found []Finding
	for i := range have {
		e := r.Streams[have[i].Name]
		if e == nil || !e.Created.Equal(have[i].Created) {
			continue
		}
		if f, ok := e.compare(&have[i], now); ok {
			found = append(found, f)
		}
	}
	return found
}

// Update makes the record match the streams, as they were read at seen. It drops streams that do
// not exist. Those in except keep their old state.
func (r *Record) Update(have []Stream, seen time.Time, except map[string]bool) {
	streams := make(map[string]*Entry, len(have))
	for _, s := range have {
		e := r.Streams[s.Name]
		if e == nil {
			e = &Entry{Stream: Stream{Created: s.Created}}
		}
		if !except[s.Name] {
			e.update(s, seen)
		}
		streams[s.Name] = e
	}
	for name := range except {
		if e := r.Streams[name]; e != nil {
			streams[name] = e
		}
	}
	r.Streams = streams
}

// Clone returns a record with the same states and without findings.
func (r *Record) Clone() *Record {
	c := New()
	for name, e := range r.Streams {
		copied := *e
		copied.Samples, copied.Consumers = slices.Clone(e.Samples), slices.Clone(e.Consumers)
		c.Streams[name] = &copied
	}
	return c
}

// StreamChanging notes that a request to the API may remove any number of messages of the stream or, with
// deleting, the stream itself.
func (r *Record) StreamChanging(stream string, deleting bool) {
	if e := r.Streams[stream]; e != nil {
		e.Changing, e.Deleting = true, e.Deleting || deleting
	}
}

// StreamChanged notes that requests which StreamChanging announced have removed so many messages, and not
// the stream.
func (r *Record) StreamChanged(stream string, removed uint64) {
	if e := r.Streams[stream]; e != nil {
		e.Changing, e.Deleting = false, false
		e.Removed += removed
	}
}

// StreamDeleted notes that the API deleted the stream.
func (r *Record) StreamDeleted(stream string) { delete(r.Streams, stream) }

// ConsumerDeleted notes that the API deleted the consumer, or changed it.
func (r *Record) ConsumerDeleted(stream, consumer string) {
	if e := r.Streams[stream]; e != nil {
		e.Consumers = slices.DeleteFunc(e.Consumers, func(c Consumer) bool { return c.Name == consumer })
	}
}

// Add adds findings and returns those that are not accepted. Damaged messages that were accepted
// already are left out.
func (r *Record) Add(findings ...Finding) (added []Finding) {
	for _, f := range findings {
		if f.Damaged && !r.addDamaged(&f) {
			continue
		}
		if f.Code == CodeLost && !f.Damaged {
			r.countedNow(&f)
		}
		added = append(added, f)
		i := slices.IndexFunc(r.Findings, func(have Finding) bool { return have.same(&f) })
		if i >= 0 {
			r.Findings[i].merge(&f)
			continue
		}
		r.Findings = append(r.Findings, f)
	}
	return added
}

// addDamaged leaves of a finding only sequences that no finding has, and reports whether any is left.
func (r *Record) addDamaged(f *Finding) bool {
	for i := range r.Findings {
		if have := &r.Findings[i]; have.Code == CodeLost && have.Stream == f.Stream {
			f.Sequences = f.Sequences.Without(have.Sequences)
		}
	}
	f.Messages = f.Sequences.Count()
	return f.Messages > 0
}

// countedNow removes findings about damaged messages that the stream no longer has: the loss counts them.
func (r *Record) countedNow(f *Finding) {
	r.Findings = slices.DeleteFunc(r.Findings, func(have Finding) bool {
		return have.Damaged && !have.Accepted && have.Stream == f.Stream &&
			len(have.Sequences.Without(f.Sequences)) == 0
	})
}

// Open returns the findings that are not accepted.
func (r *Record) Open() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Accepted })
}

// Accept marks the findings of a stream as accepted by the operator and returns how many. Only
// damaged messages are remembered: they would be found again.
func (r *Record) Accept(stream string) (accepted int) {
	var kept []Finding
	for _, f := range r.Findings {
		if f.Stream == stream && !f.Accepted {
			accepted++
			if f.Accepted = true; !f.Damaged {
				continue
			}
		}
		kept = append(kept, f)
	}
	r.Findings = kept
	return accepted
}
