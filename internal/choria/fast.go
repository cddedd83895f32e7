package choria

// This file is the fast path for requests. Choria writes the keys of each layer in a fixed order
// and without white space, so the layers can be scanned for literal text: every byte is read once
// per layer, and nothing is allocated that the message does not keep. encoding/json takes more
// than ten times as long, which was most of the CPU time of an adapter.
//
// A request in any other form is not an error: the fast path gives up, and v1.go and v2.go parse
// the message with encoding/json. It only accepts or gives up. It must not accept a message that
// v1.go or v2.go rejects. Two fuzz tests compare the results of both.

// emptyFilterJSON is the filter of a request that addresses every node.
const emptyFilterJSON = `{"fact":[],"cf_class":[],"agent":[],"identity":[],"compound":[]}`

// fastRequest parses a request of either protocol into m. It returns false if the request has
// another form than Choria's servers write. The caller must call m.check.
func (p *Parser) fastRequest(raw []byte, m *Message) bool {
	c := cursor{text: raw}
	c.literal(`{"protocol":"`)
	switch protocol := c.plainString(); string(protocol) {
	case transportV1:
		m.Protocol = V1
	case transportV2:
		m.Protocol = V2
	default:
		return false
	}
	c.literal(`,"data":"`)
	p.secure = c.base64(p.secure[:0])
	c.literal(`,"headers":{"`)
	sender := c.fastHeaders(m.Protocol)
	c.end()
	if c.failed {
		return false
	}
	if m.Protocol == V1 {
		return p.fastV1(sender, m)
	}
	return p.fastV2(sender, m)
}

// fastHeaders scans the headers of a transport with exactly one hop and returns the sender.
func (c *cursor) fastHeaders(protocol Protocol) (sender []byte) {
	keys := [3]string{`reply-to":"`, `,"mc_sender":"`, `,"seen-by":[["`}
	if protocol == V2 {
		keys = [3]string{`reply":"`, `,"sender":"`, `,"trace":[["`}
	}
	c.literal(keys[0])
	c.plainString()
	c.literal(keys[1])
	sender = c.plainString()
	c.literal(keys[2])
	c.plainString()
	c.literal(`,"`)
	c.plainString()
	c.literal(`,"`)
	c.plainString()
	c.literal(`]]}}`)
	return sender
}

func (p *Parser) fastV1(transportSender []byte, m *Message) bool {
	c := cursor{text: p.secure}
	c.literal(`{"protocol":"` + secureRequestV1 + `","message":"`)
	p.signed = c.quotedString(p.signed[:0])
	c.literal(`,"signature":"`)
	signature := c.plainString()
	c.literal(`,"pubcert":"`)
	p.certificate = c.quotedString(p.certificate[:0])
	c.literal(`}`)
	c.end()

	r := cursor{text: p.signed, failed: c.failed}
	r.literal(`{"protocol":"` + requestV1 + `","message":"`)
	p.body = r.quotedString(p.body[:0])
	var f fields
	f.scan(&r, `,"envelope":{"`,
		`requestid":"`, `,"senderid":"`, `,"callerid":"`, `,"collective":"`, `,"agent":"`)
	r.literal(`,"ttl":`)
	ttl := r.number()
	r.literal(`,"time":`)
	seconds := r.number()
	r.literal(`,"filter":` + emptyFilterJSON + `}}`)
	r.end()
	if r.failed || len(signature) == 0 || len(p.signed) == 0 || len(p.certificate) == 0 || len(p.body) == 0 ||
		ttl < minTTLV1 || len(f.values[0]) != idLengthV1 || m.setUnix(seconds, 0) != nil {
		return false
	}
	m.Proof = Proof{Signed: p.signed, Signature: string(signature), Certificate: string(p.certificate)}
	p.setFields(m, &f, transportSender)
	return true
}

func (p *Parser) fastV2(transportSender []byte, m *Message) bool {
	c := cursor{text: p.secure}
	c.literal(`{"protocol":"` + secureRequestV2 + `","request":"`)
	p.signed = c.base64(p.signed[:0])
	c.literal(`,"signature":"`)
	signature := c.plainString()
	c.literal(`,"caller":"`)
	token := c.plainString()
	c.literal(`}`)
	c.end()

	r := cursor{text: p.signed, failed: c.failed}
	r.literal(`{"protocol":"` + requestV2 + `","message":"`)
	p.body = r.base64(p.body[:0])
	var f fields
	f.scan(&r, `,"`, `id":"`, `,"sender":"`, `,"caller":"`, `,"collective":"`, `,"agent":"`)
	r.literal(`,"ttl":`)
	ttl := r.number()
	r.literal(`,"time":`)
	nanoseconds := r.number()
	r.literal(`,"filter":` + emptyFilterJSON + `}`)
	r.end()
	if r.failed || len(signature) == 0 || len(token) == 0 || len(p.signed) == 0 || len(p.body) == 0 ||
		len(f.values[2]) == 0 || len(f.values[3]) == 0 || len(f.values[4]) == 0 ||
		ttl < 1 || nanoseconds < 1 || m.setUnix(0, nanoseconds) != nil || m.setBody(p.body) != nil {
		return false
	}
	m.Proof = Proof{Signed: p.signed, Signature: string(signature), Token: string(token)}
	p.setFields(m, &f, transportSender)
	return true
}

// fields are the id, sender, caller, collective and agent of a request, in this order. They point
// into the text of the request.
type fields struct{ values [5][]byte }

// scan scans the prefix and then every field, each after its key.
func (f *fields) scan(c *cursor, prefix string, keys ...string) {
	c.literal(prefix)
	for i, key := range keys {
		c.literal(key)
		f.values[i] = c.plainString()
	}
}

// setFields copies the body and the fields to the message. All fields share one allocation.
func (p *Parser) setFields(m *Message, f *fields, transportSender []byte) {
	m.Body = p.body
	p.names = p.names[:0]
	for _, value := range f.values {
		p.names = append(p.names, value...)
	}
	all := string(p.names)
	for i, into := range []*string{&m.ID, &m.Sender, &m.Caller, &m.Collective, &m.Agent} {
		n := len(f.values[i])
		*into, all = all[:n], all[n:]
	}
	m.TransportSender = m.Sender
	if string(transportSender) != m.Sender {
		m.TransportSender = string(transportSender)
	}
}
