package integrity

import (
	"fmt"
	"time"
)

// Codes of findings.
const (
	CodeLost             = "stream-lost"       // acknowledged messages are missing
	CodeSequences        = "sequences-reset"   // the last sequence went back, but no message is missing
	CodeRestored         = "stream-restored"   // the configuration of a stream was damaged
	CodeConsumerLost     = "consumer-lost"     // a durable consumer is missing
	CodeConsumerReset    = "consumer-reset"    // a durable consumer has another position
	CodeConsumerRestored = "consumer-restored" // the configuration of a consumer was damaged
	CodeUnknown          = "integrity-unknown" // there is no usable record
)

// Finding is something that is not as it was recorded.
type Finding struct {
	Code      string    `json:"code"`
	Stream    string    `json:"stream"`
	Consumer  string    `json:"consumer,omitempty"`
	Messages  uint64    `json:"messages,omitempty"`  // that are missing, at least
	Sequences Ranges    `json:"sequences,omitempty"` // of the missing messages; other missing ones may be among them
	Damaged   bool      `json:"damaged,omitempty"`   // the messages are there, but cannot be read
	Since     time.Time `json:"since,omitzero"`      // when everything was still there
	Noticed   time.Time `json:"noticed"`
	Cause     string    `json:"cause,omitempty"`
	Accepted  bool      `json:"accepted,omitempty"` // by the operator
}

// Subject returns what is affected: the stream, or the stream and the consumer.
func (f *Finding) Subject() string {
	if f.Consumer != "" {
		return f.Stream + "/" + f.Consumer
	}
	return f.Stream
}

// String returns the finding as a sentence, without its code and subject.
func (f *Finding) String() string {
	text := f.Cause
	if f.Messages > 0 {
		what := plural(f.Messages, "message is missing", "messages are missing")
		if f.Damaged {
			what = plural(f.Messages, "message cannot be read", "messages cannot be read")
		}
		text = fmt.Sprintf("%d %s", f.Messages, what)
		switch {
		case len(f.Sequences) == 0:
		case f.Sequences.Count() == f.Messages:
			text += ": " + plural(f.Messages, "sequence ", "sequences ") + f.Sequences.String()
		default:
			text += " among the sequences " + f.Sequences.String()
		}
		if f.Cause != "" {
			text += "; " + f.Cause
		}
	}
	if !f.Since.IsZero() {
		text += "; as recorded at " + f.Since.UTC().Format(time.RFC3339)
	}
	return text + "; noticed at " + f.Noticed.UTC().Format(time.RFC3339)
}

// plural returns the form of a text for n things.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// same reports whether two findings are about the same thing.
func (f *Finding) same(o *Finding) bool {
	return f.Code == o.Code && f.Stream == o.Stream && f.Consumer == o.Consumer && f.Damaged == o.Damaged &&
		f.Accepted == o.Accepted
}

// merge adds what a newer finding about the same thing found.
func (f *Finding) merge(o *Finding) {
	f.Messages += o.Messages
	f.Sequences = f.Sequences.Join(o.Sequences...).limited()
	f.Cause, f.Noticed = o.Cause, o.Noticed
}
