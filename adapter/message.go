package adapter

import (
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
)

// overhead is what a pending message takes beside its bytes: its headers, and its entries in
// the queue, in its sender's queue and among the unacknowledged messages.
const overhead = 1 << 10

// message is a received message that has no outcome yet.
type message struct {
	subject  string    // it was published to
	raw      []byte    // as received; kept until it is stored, because it may yet be rejected
	received time.Time // by the site's clock
	held     int64     // bytes counted against the buffer

	converted bool    // the fields below are set
	sender    string  // empty if it could not be read
	out       *output // what to publish; nil if the message is rejected
	reason    string  // why it is rejected; empty if it is not
	detail    string  // the reason in words

	attempts    int       // how often it was published
	publishedAt time.Time // the last time
}

// heldFor returns the bytes that a message of this size counts as when it is received.
func heldFor(size int) int64 { return int64(size) + overhead }

// output is a message to publish.
type output struct {
	subject string
	text    []byte // the headers, and behind them the data
	split   int    // where the data begins
}

func (o *output) header() []byte { return o.text[:o.split] }
func (o *output) data() []byte   { return o.text[o.split:] }

// setHeader puts the finished header at the beginning of text; the data is appended to text.
func (o *output) setHeader(h inproc.Header) {
	o.text = h.End()
	o.split = len(o.text)
}
