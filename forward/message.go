package forward

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"
)

// message is a message of a forwarded stream, from the time it is read until it has its outcome.
type message struct {
	sequence uint64
	subject  string // at this appliance
	target   string // subject at the hub
	sender   string // messages of one sender keep their order
	alone    bool   // no other sender uses the subject
	header   nats.Header
	data     []byte
	stored   time.Time
	readIn   string        // incarnation of the stream when it was read
	ack      jetstream.Msg // is acknowledged when the message has its outcome; nil: its stream is gone
	out      nats.Header   // as it is published; nil before the first attempt

	attempts  int  // without success
	published bool // by this process, at least once, and its ack did not arrive
	resolved  bool
	sent      place // where it was published last

	// uncertain is true while the hub may have the message: an attempt had no ack, or an earlier process may have
	// forwarded it. The hub is then asked for the last message on the subject.
	uncertain bool
	answered  bool // last is the answer of the hub
	last      *hubMessage
	asked     int // how often the hub refused to answer
}

// place is where in the order of all that was published a message is. The hub receives what was published over one
// connection in this order.
type place struct{ connection, number uint64 }

// newMessage returns the message that was read from the stream. The mutex must be locked.
func (c *copier) newMessage(m jetstream.Msg, meta *jetstream.MsgMetadata) *message {
	read := &message{
		sequence: meta.Sequence.Stream, subject: m.Subject(), header: m.Headers(), data: m.Data(), stored: meta.Timestamp,
		readIn: c.lineage.incarnation(), ack: m,
	}
	read.target = c.target(read.subject)
	read.sender, read.alone = senderOf(read.subject, read.header.Get(contract.HeaderSender), read.data)
	return read
}

// size returns the bytes that the message takes on the link, roughly.
func (m *message) size() int { return len(m.target) + len(m.data) + headerSize*len(m.header) }

// headerSize is about how long a header is, in bytes.
const headerSize = 60

// target returns the subject of a message at the hub. What another site forwarded stays on the subject of that site.
func (c *copier) target(subject string) string {
	if _, _, forwarded := contract.CutSite(subject); forwarded {
		return subject
	}
	return strings.TrimSuffix(strings.Replace(c.cfg.Subject, "%s", c.f.opts.Site, 1), ">") + subject
}

// senderOf returns what identifies the sender of a message: messages with the same one are forwarded in their order.
// It is the sender that an adapter verified, the node or site of an event of the fleet view, or the identity in an
// event of Choria; for other messages the subject. alone reports whether no other sender uses the subject.
func senderOf(subject, sender string, data []byte) (key string, alone bool) {
	site, rest, _ := contract.CutSite(subject)
	for _, prefix := range []string{contract.SubjectFleetNode, contract.SubjectFleetSite} {
		if event, found := strings.CutPrefix(rest, prefix); found {
			_, name, _ := strings.Cut(event, ".")
			return site + "/" + prefix + name, true
		}
	}
	if sender == "" {
		identity := gjson.GetBytes(data, "identity")
		if identity.Type != gjson.String {
			return subject, true
		}
		sender = identity.Str
	}
	return site + "/" + sender, strings.HasSuffix(subject, "."+sender)
}

// outgoing returns the headers with which the message is published at the hub: its own, without those that NATS acts
// on, and with its way.
func (c *copier) outgoing(m *message) nats.Header {
	out := make(nats.Header, len(m.header)+3)
	for name, values := range m.header {
		if !strings.HasPrefix(name, contract.PrefixNATSHeader) {
			out[name] = values
		}
	}
	out[contract.HeaderMsgID] = []string{c.messageID(m)}
	via := c.f.opts.Site
	if earlier := m.header.Get(contract.HeaderVia); earlier != "" {
		via = earlier + "," + via
	}
	out[contract.HeaderVia] = []string{via}
	out[contract.HeaderSource] = []string{source{
		stream: c.cfg.Name, sequence: m.sequence, site: c.f.opts.Site, incarnation: m.readIn, stored: m.stored,
	}.String()}
	return out
}

// messageID returns the message id at the hub. It is the same whenever the message is forwarded.
func (c *copier) messageID(m *message) string {
	id := m.header.Get(contract.HeaderMsgID)
	_, _, forwarded := contract.CutSite(m.subject)
	switch {
	case id == "":
		return fmt.Sprintf("%s/%s/%d-%d", c.f.opts.Site, c.cfg.Name, m.sequence, m.stored.UnixNano())
	case forwarded:
		return id
	default:
		return c.f.opts.Site + "/" + id
	}
}

// source is the header contract.HeaderSource: where a message at the hub was read.
type source struct {
	stream      string
	sequence    uint64
	site        string
	incarnation string
	stored      time.Time // to the millisecond
}

// String returns the value of the header.
func (s source) String() string {
	return fmt.Sprintf("%s %d %s %s %d", s.stream, s.sequence, s.site, s.incarnation, s.stored.UnixMilli())
}

// parseSource parses the value of the header; ok is false if another program wrote it.
func parseSource(text string) (s source, ok bool) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return source{}, false
	}
	sequence, err := strconv.ParseUint(fields[1], 10, 64)
	stored, otherErr := strconv.ParseInt(fields[4], 10, 64)
	return source{fields[0], sequence, fields[2], fields[3], time.UnixMilli(stored)}, err == nil && otherErr == nil
}
