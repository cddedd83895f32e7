package integrity

import (
	"cmp"
	"time"
)

// maxSamples is how many samples an entry keeps of the time of max_age.
const maxSamples = 32

// Entry is what the record has of one stream.
type Entry struct {
	Stream
	Seen time.Time `json:"seen"` // when this state was read
	// Changing: a request to the API may have removed any number of messages since Seen, so only Last can
	// be compared. Deleting: it may have deleted the stream.
	Changing bool `json:"changing,omitempty"`
	Deleting bool `json:"deleting,omitempty"`
	// Removed is how many messages other requests to the API removed since Seen.
	Removed uint64 `json:"removed,omitempty"`
	// Samples give bounds for the age of messages, in ascending order.
	Samples []Sample `json:"samples,omitempty"`
}

// Sample is the last sequence at a time: messages with higher sequences are younger.
type Sample struct {
	Time time.Time `json:"time"`
	Last uint64    `json:"last"`
}

// update replaces the state by a newer one.
func (e *Entry) update(s Stream, seen time.Time) {
	if s.Created.Equal(e.Created) {
		s.keepMeta(&e.Stream)
	} else {
		e.Samples = nil
	}
	e.Stream, e.Seen, e.Removed, e.Changing, e.Deleting = s, seen, 0, false, false
	e.sample()
}

// keepMeta takes the contents of files that could not be read from an older state.
func (s *Stream) keepMeta(before *Stream) {
	s.Meta = cmp.Or(s.Meta, before.Meta)
	for i, c := range s.Consumers {
		if old, ok := before.find(c.Name); ok {
			s.Consumers[i].Meta = cmp.Or(c.Meta, old.Meta)
		}
	}
}

// sample adds a sample if the newest is old enough, and drops those that are older than max_age.
func (e *Entry) sample() {
	age := e.Limits.MaxAge
	if age <= 0 {
		e.Samples = nil
		return
	}
	n := len(e.Samples)
	if n > 0 && e.Seen.Sub(e.Samples[n-1].Time) < age/maxSamples && !e.Seen.Before(e.Samples[n-1].Time) {
		return
	}
	e.Samples = append(e.Samples, Sample{e.Seen, e.Last})
	for len(e.Samples) > 1 && e.Samples[0].Time.Before(e.Seen.Add(-age)) || len(e.Samples) > 2*maxSamples {
		e.Samples = e.Samples[1:]
	}
}

// expirable returns the last sequence whose message may have reached max_age at now; First-1 if none.
func (e *Entry) expirable(s *Stream, now time.Time) uint64 {
	age := e.Limits.MaxAge
	if s.Limits.MaxAge > 0 && (age <= 0 || s.Limits.MaxAge < age) {
		age = s.Limits.MaxAge
	}
	if age <= 0 {
		return sub(e.First, 1)
	}
	cutoff := now.Add(-age)
	for _, sample := range e.Samples {
		if !sample.Time.Before(cutoff) {
			return sample.Last
		}
	}
	return e.Last
}

// expired returns how many of the messages, and of those stored since, may have reached max_age at now.
func (e *Entry) expired(s *Stream, stored uint64, now time.Time) uint64 {
	last := e.expirable(s, now)
	n := min(sub(last+1, e.First), e.Messages)
	if age := s.Limits.MaxAge; age > 0 && !e.Seen.After(now.Add(-age)) {
		n += stored
	}
	return n
}

// explained returns how many messages limits, age and API may have removed at most since the
// state was recorded. stored is the number of messages stored since.
func (e *Entry) explained(s *Stream, stored uint64, now time.Time) uint64 {
	all := e.Messages + stored
	return min(e.explainedByLimits(s, stored, now)+e.Removed, all)
}

// explainedByLimits is explained without what the API removed, unless that may be any number.
func (e *Entry) explainedByLimits(s *Stream, stored uint64, now time.Time) uint64 {
	all := e.Messages + stored
	if e.Changing || e.Limits.Transient || s.Limits.Transient || s.Limits.tightened(e.Limits) ||
		stored > 0 && (e.Limits.Replaces || s.Limits.Replaces) {
		return all
	}
	front := sub(s.First, e.First) // age and max_bytes remove only the oldest messages
	if s.Messages == 0 {
		front = all
	}
	oldest := min(e.expired(s, stored, now), front)
	if stored == 0 { // limits remove messages only when one is stored
		return oldest
	}
	l := s.Limits
	if l.MaxBytes > 0 && !l.DiscardNew && e.Bytes+stored*uint64(l.MaxMsgSize) >= uint64(l.MaxBytes) {
		oldest = front
	}
	switch {
	case l.MaxPerSubject > 0:
		return oldest + stored // each removes at most one
	case l.MaxMsgs > 0 && !l.DiscardNew:
		return oldest + sub(all, uint64(l.MaxMsgs))
	}
	return oldest
}
