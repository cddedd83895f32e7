package adapter

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// overhead is what a pending message takes beside its bytes: its headers, and its entries in
// its peer's queue, in its sender's queue and among the unacknowledged messages.
const overhead = 1 << 10

// message is a received message that has no outcome yet.
type message struct {
	subject  string        // the message was published to it
	peer     inproc.Peer   // the connection that published it; without a User where the broker proves none
	raw      []byte        // as received; kept until it is stored, because it may yet be rejected
	received time.Time     // by the appliance's clock
	held     int64         // bytes counted against the buffer
	queue    *peerQueue    // of its peer
	charged  time.Duration // to that peer, for its conversion

	converted bool           // the fields below are set; the reason may be set before
	sender    string         // empty if it could not be read
	verified  bool           // the sender is verified
	signed    signedMessage  // set if verified
	out       *streamMessage // what to publish; nil if the message is rejected
	claimed   string         // the sender that it names, if it is rejected before that is verified
	reason    string         // why it is rejected; empty if it is not
	detail    string         // the reason in words

	attempts    int       // how often it was published
	publishedAt time.Time // the last time
}

// publisher returns the sender; if that is not known or not proven, the connection that published the
// message, or if it has no name the sender that the message names. verified is whether a signature or
// the connection has proven the name.
func (m *message) publisher() (name string, verified bool) {
	name = cmp.Or(m.sender, m.peer.User, m.peer.Name, m.claimed)
	return name, m.verified || name != "" && name == m.peer.User
}

// rejectSubject sets the reason of a message whose subject is longer than maxSubject, and cuts the
// subject.
func (m *message) rejectSubject() {
	m.reason = contract.ReasonLimit
	m.detail = fmt.Sprintf("the subject is longer than %d bytes", maxSubject)
	m.subject = strings.Clone(m.subject[:maxSubject])
}

// heldFor returns the bytes that a message of this size counts as when it is received.
func heldFor(size int) int64 { return int64(size) + overhead }

// streamMessage is a message to publish.
type streamMessage struct {
	subject   string
	bytes     []byte // the headers, then the data
	dataStart int    // where the data begins
}

func (o *streamMessage) header() []byte { return o.bytes[:o.dataStart] }
func (o *streamMessage) data() []byte   { return o.bytes[o.dataStart:] }

// setHeader puts the finished header at the beginning of bytes; the data is appended to bytes.
func (o *streamMessage) setHeader(h inproc.Header) {
	o.bytes = h.End()
	o.dataStart = len(o.bytes)
}
