package choria

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// maxSeconds is the end of the year 9999, the last that RFC 3339 can write.
const maxSeconds = 253402300799

// transport is the outermost layer of both protocols; only the names of its headers differ.
type transport struct {
	Protocol string          `json:"protocol"`
	Data     string          `json:"data"`
	Headers  json.RawMessage `json:"headers"`
}

// mostKept is how large a buffer may be that a Parser keeps for the next message.
const mostKept = 256 << 10

// Parser reads messages, one after the other, into buffers of its own. It is for one
// goroutine.
type Parser struct {
	secure, signed, certificate, body, names []byte
}

// Request reads a request of either protocol from what a node published, as far as Choria
// itself reads one that it does not validate, and refuses what Choria crashes on. The
// message's Body and Proof.Signed are good until the next one is read. The error wraps one
// of this package's Err values; Reason names it.
func (p *Parser) Request(raw []byte) (*Message, error) {
	p.trim()
	m := &Message{}
	if p.fastRequest(raw, m) && m.check() == nil {
		return m, nil
	}
	return parse(raw, parseRequestV1, parseRequestV2)
}

// Reply reads a reply of either protocol, in the same way.
func (p *Parser) Reply(raw []byte) (*Message, error) {
	return parse(raw, parseReplyV1, parseReplyV2)
}

// trim lets go of what one large message has left.
func (p *Parser) trim() {
	for _, buffer := range []*[]byte{&p.secure, &p.signed, &p.certificate, &p.body} {
		if cap(*buffer) > mostKept {
			*buffer = nil
		}
	}
}

// parse reads a message of any form.
func parse(raw []byte, v1, v2 func(secure []byte, m *Message) error) (*Message, error) {
	var t transport
	if err := decodeJSON("transport", raw, &t); err != nil {
		return nil, err
	}
	m := &Message{}
	layers := v1
	switch t.Protocol {
	case transportV1:
		m.Protocol = V1
	case transportV2:
		m.Protocol, layers = V2, v2
	default:
		return nil, fmt.Errorf("%w: transport: protocol %.64q", ErrMalformed, t.Protocol)
	}
	if err := m.readHeaders(t.Headers); err != nil {
		return nil, err
	}
	secure, err := decodeBase64("transport data", t.Data)
	if err != nil {
		return nil, err
	}
	if err := layers(secure, m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// check wants names with which the message can be stored.
func (m *Message) check() error {
	if err := CheckSender(m.Sender); err != nil {
		return err
	}
	return checkID(m.ID)
}

// readHeaders takes from the transport who it says sent it. Headers may be missing, but
// "headers": null, on which Choria's own parser crashes, is refused.
func (m *Message) readHeaders(headers json.RawMessage) error {
	if len(headers) == 0 {
		return nil
	}
	if bytes.Equal(headers, []byte("null")) {
		return fmt.Errorf("%w: transport: headers are null", ErrSchema)
	}
	var h struct {
		V1 string `json:"mc_sender"`
		V2 string `json:"sender"`
	}
	if err := decodeJSON("transport headers", headers, &h); err != nil {
		return err
	}
	m.TransportSender = h.V1
	if m.Protocol == V2 {
		m.TransportSender = h.V2
	}
	return nil
}

// setUnix takes a time in whole seconds, from 1970 to 9999.
func (m *Message) setUnix(seconds, nanoseconds int64) error {
	if seconds < 0 || nanoseconds < 0 || seconds > maxSeconds {
		return fmt.Errorf("%w: time %d is not between 1970 and 9999", ErrSchema, seconds)
	}
	m.Time = time.Unix(seconds, nanoseconds).UTC()
	return nil
}

// setBody takes a body that came as bytes. A v1 body is part of a checked text already.
func (m *Message) setBody(body []byte) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: body", ErrNotUTF8)
	}
	m.Body = body
	return nil
}

// filter is whom a request is for. A registration's is empty, but protocol 1 wants it there.
type filter struct {
	Fact     []factFilter       `json:"fact"`
	Class    []string           `json:"cf_class"`
	Agent    []string           `json:"agent"`
	Identity []string           `json:"identity"`
	Compound [][]map[string]any `json:"compound"`
}

type factFilter struct {
	Fact     string `json:"fact"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

// complete tells whether the lists that protocol 1 requires are there.
func (f *filter) complete() bool {
	return f != nil && f.Fact != nil && f.Class != nil && f.Identity != nil && f.Compound != nil
}

func schemaError(layer, field string) error {
	return fmt.Errorf("%w: %s: %s", ErrSchema, layer, field)
}
