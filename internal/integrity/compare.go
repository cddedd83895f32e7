package integrity

import (
	"fmt"
	"math"
	"time"
)

// compare returns what is missing in the stream.
func (e *Entry) compare(s *Stream, now time.Time) (Finding, bool) {
	stored := sub(s.Last, e.Last)
	missing := sub(e.Messages+stored, s.Messages)
	f := Finding{
		Code: CodeLost, Stream: e.Name, Since: e.Seen, Noticed: now,
		Messages: sub(missing, e.explained(s, stored, now)),
	}
	if f.Messages > 0 {
		f.Sequences = e.candidates(s, now)
	}
	if !s.Created.Equal(e.Created) {
		f.Cause = "the stream was created anew"
	}
	if s.Last < e.Last {
		f.Cause = fmt.Sprintf("the last sequence was %d and is %d", e.Last, s.Last)
		if f.Messages == 0 {
			f.Code = CodeSequences
		}
		return f, true
	}
	return f, f.Messages > 0
}

// candidates returns the sequences among which the missing ones are: those that cannot have expired.
func (e *Entry) candidates(s *Stream, now time.Time) Ranges {
	return Ranges(nil).Join(Range{max(e.First, e.expirable(s, now)+1), e.Last})
}

// Locate leaves of the sequences of a loss only those that are not in the stream now. gaps are
// the sequences between the first and the last message of the stream that it does not have.
func (f *Finding) Locate(s *Stream, gaps Ranges) {
	absent := gaps.Join(Range{s.Last + 1, math.MaxUint64})
	switch {
	case s.Messages == 0:
		absent = Ranges{{0, math.MaxUint64}}
	case s.First > 0:
		absent = absent.Join(Range{0, s.First - 1})
	}
	f.Sequences = f.Sequences.Within(absent).limited()
}

// compareConsumers returns the consumers that are missing or have another position. exact is true
// if no consumer can have advanced since the state was recorded.
func (e *Entry) compareConsumers(s *Stream, now time.Time, exact bool) []Finding {
	var found []Finding
	for _, c := range e.Consumers {
		f := Finding{Stream: e.Name, Consumer: c.Name, Since: e.Seen, Noticed: now, Code: CodeConsumerReset}
		have, ok := s.find(c.Name)
		switch {
		case !ok:
			f.Code, f.Cause = CodeConsumerLost, fmt.Sprintf("its ack floor was %d", c.AckFloor)
		case have.AckFloor < c.AckFloor:
			f.Cause = fmt.Sprintf("its ack floor was %d and is %d: messages are delivered again", c.AckFloor, have.AckFloor)
		case exact && have.AckFloor > max(c.AckFloor, sub(s.First, 1)):
			f.Cause = fmt.Sprintf("its ack floor was %d and is %d: messages are not delivered", c.AckFloor, have.AckFloor)
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}
