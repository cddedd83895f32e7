package adapter

import (
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats.go"
)

// Headers on a stored message; those of rejected ones are in rejects.go.
const (
	headerMsgID      = "Nats-Msg-Id"
	headerSender     = "Muster-Sender"
	headerTime       = "Muster-Time"
	headerReceived   = "Muster-Received"
	headerSkew       = "Muster-Skew"
	headerVerified   = "Muster-Verified"
	headerSite       = "Muster-Site"
	headerRequestID  = "Muster-Request-Id"
	headerCollective = "Muster-Collective"
	headerContent    = "Muster-Content"
	headerFile       = "Muster-File"
	headerMtime      = "Muster-Mtime"
)

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
		m.out = &nats.Msg{Subject: a.cfg.Stream.Subject(parsed.Sender), Header: a.headers(parsed, verified, m.received)}
		err = a.payload(m, parsed)
	}
	if err != nil {
		m.out, m.reason, m.detail = nil, choria.Reason(err), err.Error()
	}
}

func (a *Adapter) headers(parsed *choria.Message, verified string, received time.Time) nats.Header {
	all := [...]string{ // of which each header has its one value
		a.cfg.Name + "/" + parsed.Sender + "/" + parsed.ID,
		parsed.Sender, stamp(parsed.Time), stamp(received), verified, a.site,
	}
	h := nats.Header{
		headerMsgID: all[0:1:1], headerSender: all[1:2:2], headerTime: all[2:3:3],
		headerReceived: all[3:4:4], headerVerified: all[4:5:5], headerSite: all[5:6:6],
	}
	if skew := parsed.Time.Sub(received); skew.Abs() > a.cfg.ClockSkew {
		h[headerSkew] = []string{skew.Round(time.Second).String()}
	}
	return h
}

// payload makes the message in the format that is configured; plain says the rest in headers.
func (a *Adapter) payload(m *message, parsed *choria.Message) error {
	if a.cfg.Stream.Format == "choria" {
		m.out.Data = parsed.AppendOutput(a.outs.get(parsed.OutputSize())[:0])
		return nil
	}
	content, err := choria.Unpack(parsed.Body, a.cfg.Stream.MaxUnpacked)
	if err != nil {
		return err
	}
	h := m.out.Header
	h[headerRequestID] = []string{parsed.ID}
	h[headerContent] = []string{content.Kind}
	if parsed.Collective != "" {
		h[headerCollective] = []string{parsed.Collective}
	}
	if content.Kind == choria.ContentFile {
		h[headerFile] = []string{content.File}
		h[headerMtime] = []string{stamp(content.Mtime)}
	}
	m.out.Data = content.Payload
	return nil
}

// recycle lets the memory of a stored message be used again. Nobody else knows it: the
// client library copies what it publishes.
func (a *Adapter) recycle(m *message) {
	a.raws.put(m.raw)
	a.outs.put(m.out.Data)
	m.raw, m.out = nil, nil
}

// stamp is a time as it stands in headers: RFC 3339 with nanoseconds, UTC.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
