package adapter

import (
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// headerBytes is an estimate of the length of a message's headers.
const headerBytes = 512

// convert parses and verifies a received message and builds the stream message, or sets the reason
// why it is rejected. A message that already has a reason is left as it is. The parser is the
// worker's own.
func (a *Adapter) convert(m *message, parser *choria.Parser) {
	if m.reason != "" {
		return
	}
	parse := parser.Request
	if a.cfg.Ingest.Protocol == "reply" {
		parse = parser.Reply
	}
	msg, err := parse(m.raw)
	var verification string
	if err == nil {
		m.claimed = msg.Sender
		err = a.checkConnection(msg, m.peer)
	}
	if err == nil {
		verification, err = a.verify(msg, m.received)
	}
	if err == nil {
		m.sender = msg.Sender
		if m.verified = isVerified(verification); m.verified {
			m.signed = a.signedTimes.identify(msg.Sender, msg.ID, msg.Time)
		}
		m.out, err = a.buildStreamMessage(msg, verification, m.received)
	}
	if err != nil {
		m.out, m.reason, m.detail = nil, reasonOf(err), err.Error()
		return
	}
	if a.opts.NotePublisher != nil && m.peer.ID != 0 {
		a.opts.NotePublisher(m.sender, m.peer.ID)
	}
}

// buildStreamMessage returns the stream message in the configured format. Format plain has in headers
// what format choria has in its JSON.
func (a *Adapter) buildStreamMessage(
	msg *choria.Message, verification string, received time.Time,
) (*streamMessage, error) {
	out := &streamMessage{subject: a.streamPrefix + a.cfg.Stream.Subject(msg.Sender)}
	if a.cfg.Stream.Format == "choria" {
		buffer := a.outPool.get(headerBytes + msg.OutputSize())
		out.setHeader(a.buildHeader(buffer[:0], msg, verification, received))
		out.bytes = msg.AppendOutput(out.bytes)
		return out, nil
	}
	content, err := choria.Unpack(msg.Body, a.cfg.Stream.MaxUnpacked)
	if err != nil {
		return nil, err
	}
	buffer := a.outPool.get(2*headerBytes + len(content.Payload))
	h := a.buildHeader(buffer[:0], msg, verification, received).
		Add(contract.HeaderRequestID, msg.ID).
		Add(contract.HeaderContent, content.Kind)
	if msg.Collective != "" {
		h = h.Add(contract.HeaderCollective, msg.Collective)
	}
	if content.Kind == choria.ContentFile {
		h = h.Add(contract.HeaderFile, content.File).Add(contract.HeaderMtime, formatTime(content.Mtime))
	}
	out.setHeader(h)
	out.bytes = append(out.bytes, content.Payload...)
	return out, nil
}

// buildHeader writes the headers that every stored message has into the buffer.
func (a *Adapter) buildHeader(
	buffer []byte, msg *choria.Message, verification string, received time.Time,
) inproc.Header {
	h := inproc.Begin(buffer).
		Add(contract.HeaderMsgID, a.cfg.Name+"/"+msg.Sender+"/"+msg.ID).
		Add(contract.HeaderSender, msg.Sender).
		Add(contract.HeaderTime, formatTime(msg.Time)).
		Add(contract.HeaderReceived, formatTime(received)).
		Add(contract.HeaderVerified, verification).
		Add(contract.HeaderSite, a.opts.Site)
	if skew := msg.Time.Sub(received); skew.Abs() > a.cfg.ClockSkew {
		h = h.Add(contract.HeaderSkew, skew.Round(time.Second).String())
	}
	return h
}

// formatTime returns a time as headers have it: RFC 3339 with nanoseconds, UTC.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
