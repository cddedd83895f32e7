package choria

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// maxSeconds is the last second of the year 9999, the last year that RFC 3339 can express.
const maxSeconds = 253402300799

// transport is the outermost layer of both protocols, which differ in the names of the headers.
type transport struct {
	Protocol string          `json:"protocol"`
	Data     string          `json:"data"` // base64 of the secure layer
	Headers  json.RawMessage `json:"headers"`
}

// maxKept is the size, in bytes, of the largest buffer that a Parser keeps for the next message.
const maxKept = 256 << 10

// Parser parses messages, one after the other, and reuses its buffers. It is not safe for
// concurrent use.
type Parser struct {
	secure, signed, certificate, body, names []byte
}

// Request parses a request of either protocol. It accepts what Choria accepts without schema
// validation, except messages on which Choria's own parser crashes. Body and Proof.Signed of the
// message are valid until the next call. The error wraps one of this package's Err values, see
// Reason.
func (p *Parser) Request(raw []byte) (*Message, error) {
	p.trim()
	m := &Message{}
	if p.fastRequest(raw, m) && m.check() == nil {
		return m, nil
	}
	return parse(raw, parseRequestV1, parseRequestV2)
}

// Reply parses a reply of either protocol, with the same errors as Request.
func (p *Parser) Reply(raw []byte) (*Message, error) {
	return parse(raw, parseReplyV1, parseReplyV2)
}

// trim releases buffers that a large message has grown.
func (p *Parser) trim() {
	for _, buffer := range []*[]byte{&p.secure, &p.signed, &p.certificate, &p.body} {
		if cap(*buffer) > maxKept {
			*buffer = nil
		}
	}
}

// parse parses a message with encoding/json; v1 and v2 parse the secure layer.
func parse(raw []byte, v1, v2 func(secure []byte, m *Message) error) (*Message, error) {
	var t transport
	if err := decodeJSON("transport", raw, &t); err != nil {
		return nil, err
	}
	m := &Message{}
	parseSecure := v1
	switch t.Protocol {
	case transportV1:
		m.Protocol = V1
	case transportV2:
		m.Protocol, parseSecure = V2, v2
	default:
		return nil, unknownProtocol("transport", t.Protocol)
	}
	if err := m.setHeaders(t.Headers); err != nil {
		return nil, err
	}
	secure, err := decodeBase64("transport data", t.Data)
	if err != nil {
		return nil, err
	}
	if err := parseSecure(secure, m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// check returns an error if the message cannot be stored under its sender and id.
func (m *Message) check() error {
	if err := CheckSender(m.Sender); err != nil {
		return err
	}
	return checkID(m.ID)
}

// setHeaders sets TransportSender from the headers of the transport layer, which may be missing.
// It rejects "headers": null, on which Choria's own parser crashes.
func (m *Message) setHeaders(headers json.RawMessage) error {
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

// setUnix sets the time, which must be in the years 1970 to 9999.
func (m *Message) setUnix(seconds, nanoseconds int64) error {
	if seconds < 0 || nanoseconds < 0 || seconds > maxSeconds {
		return fmt.Errorf("%w: time %d is not between 1970 and 9999", ErrSchema, seconds)
	}
	m.Time = time.Unix(seconds, nanoseconds).UTC()
	return nil
}

// setBody sets a body that was base64. The body of protocol 1 is part of a JSON text that has
// been checked already.
func (m *Message) setBody(body []byte) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: the body is not valid UTF-8", ErrNotUTF8)
	}
	m.Body = body
	return nil
}

// requestFilter selects the nodes that a request addresses. That of a registration is empty, but
// protocol 1 requires the key.
type requestFilter struct {
	Fact     []FactFilter       `json:"fact"`
	Class    []string           `json:"cf_class"`
	Agent    []string           `json:"agent"`
	Identity []string           `json:"identity"`
	Compound [][]map[string]any `json:"compound"`
}

// complete reports whether the filter has every list that protocol 1 requires.
func (f *requestFilter) complete() bool {
	return f != nil && f.Fact != nil && f.Class != nil && f.Identity != nil && f.Compound != nil
}

func schemaError(layer, problem string) error {
	return fmt.Errorf("%w: %s: %s", ErrSchema, layer, problem)
}

// unknownProtocol returns the error for a layer with another protocol id than expected.
func unknownProtocol(layer, found string) error {
	return fmt.Errorf("%w: %s: unknown protocol %.64q", ErrMalformed, layer, found)
}
