package adapter

import (
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// headerBytes is about how much the headers of a message take.
const headerBytes = 512

// convert makes of a received message what is to be stored, or says why it is rejected.
// The parser is the worker's own.
func (a *Adapter) convert(m *message, p *choria.Parser) {
	parse := p.Request
	if a.cfg.Ingest.Protocol == "reply" {
		parse = p.Reply
	}
	parsed, err := parse(m.raw)
	var verified string
	if err == nil {
		verified, err = a.verify(parsed, m.received)
	}
	if err == nil {
		m.sender = parsed.Sender
		m.out, err = a.output(parsed, verified, m.received)
	}
	if err != nil {
		m.out, m.reason, m.detail = nil, choria.Reason(err), err.Error()
	}
}

// output makes the message in the format that is configured; plain says in headers what
// the other says in JSON.
func (a *Adapter) output(parsed *choria.Message, verified string, received time.Time) (*output, error) {
	out := &output{subject: a.cfg.Stream.Subject(parsed.Sender)}
	if a.cfg.Stream.Format == "choria" {
		buffer := a.outs.get(headerBytes + parsed.OutputSize())
		out.headersEnd(a.headers(buffer[:0], parsed, verified, received))
		out.text = parsed.AppendOutput(out.text)
		return out, nil
	}
	content, err := choria.Unpack(parsed.Body, a.cfg.Stream.MaxUnpacked)
	if err != nil {
		return nil, err
	}
	buffer := a.outs.get(2*headerBytes + len(content.Payload))
	h := a.headers(buffer[:0], parsed, verified, received).Add(contract.HeaderRequestID, parsed.ID).Add(contract.HeaderContent, content.Kind)
	if parsed.Collective != "" {
		h = h.Add(contract.HeaderCollective, parsed.Collective)
	}
	if content.Kind == choria.ContentFile {
		h = h.Add(contract.HeaderFile, content.File).Add(contract.HeaderMtime, stamp(content.Mtime))
	}
	out.headersEnd(h)
	out.text = append(out.text, content.Payload...)
	return out, nil
}

// headers are those of every stored message.
func (a *Adapter) headers(buffer []byte, parsed *choria.Message, verified string, received time.Time) inproc.Header {
	h := inproc.Begin(buffer).
		Add(contract.HeaderMsgID, a.cfg.Name+"/"+parsed.Sender+"/"+parsed.ID).
		Add(contract.HeaderSender, parsed.Sender).
		Add(contract.HeaderTime, stamp(parsed.Time)).
		Add(contract.HeaderReceived, stamp(received)).
		Add(contract.HeaderVerified, verified).
		Add(contract.HeaderSite, a.site)
	if skew := parsed.Time.Sub(received); skew.Abs() > a.cfg.ClockSkew {
		h = h.Add(contract.HeaderSkew, skew.Round(time.Second).String())
	}
	return h
}

// recycle lets the memory of a stored message be used again. Nobody else knows it: what is
// published is copied.
func (a *Adapter) recycle(m *message) {
	a.raws.put(m.raw)
	a.outs.put(m.out.text)
	m.raw, m.out = nil, nil
}

// stamp is a time as it stands in headers: RFC 3339 with nanoseconds, UTC.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
