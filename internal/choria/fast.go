package choria

// Most requests take a short way through this file. Choria writes the keys of each layer in
// one order and with nothing between them, so they can be read by their form: each byte is
// looked at once for each layer it is nested in, and nothing is built that is thrown away.
// encoding/json takes some twenty times as long, which was most of what an adapter cost.
//
// A request of any other form is none the worse: the short way gives up, and the message is
// read as JSON in v1.go and v2.go. It may not refuse anything by itself, and may not take
// what they would refuse; a fuzzer holds the two ways against each other.

// noFilterJSON is the filter of a request that is for everybody.
const noFilterJSON = `{"fact":[],"cf_class":[],"agent":[],"identity":[],"compound":[]}`

// fastRequest reads a request of either protocol, or tells that it is of another form. What
// it has read must still pass the checks that all messages must.
func (p *Parser) fastRequest(raw []byte, m *Message) bool {
	c := cursor{text: raw}
	c.literal(`{"protocol":"`)
	switch protocol := c.plain(); string(protocol) {
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

// fastHeaders gives the sender in a transport's headers, which tell of one hop.
func (c *cursor) fastHeaders(protocol Protocol) (sender []byte) {
	keys := [3]string{`reply-to":"`, `,"mc_sender":"`, `,"seen-by":[["`}
	if protocol == V2 {
		keys = [3]string{`reply":"`, `,"sender":"`, `,"trace":[["`}
	}
	c.literal(keys[0])
	c.plain()
	c.literal(keys[1])
	sender = c.plain()
	c.literal(keys[2])
	c.plain()
	c.literal(`,"`)
	c.plain()
	c.literal(`,"`)
	c.plain()
	c.literal(`]]}}`)
	return sender
}

func (p *Parser) fastV1(transportSender []byte, m *Message) bool {
	c := cursor{text: p.secure}
	c.literal(`{"protocol":"` + secureRequestV1 + `","message":"`)
	p.signed = c.escaped(p.signed[:0])
	c.literal(`,"signature":"`)
	signature := c.plain()
	c.literal(`,"pubcert":"`)
	p.certificate = c.escaped(p.certificate[:0])
	c.literal(`}`)
	c.end()

	r := cursor{text: p.signed, failed: c.failed}
	r.literal(`{"protocol":"` + requestV1 + `","message":"`)
	p.body = r.escaped(p.body[:0])
	var f fields
	f.begin(&r, `,"envelope":{"`, `requestid":"`, `,"senderid":"`, `,"callerid":"`, `,"collective":"`, `,"agent":"`)
	r.literal(`,"ttl":`)
	ttl := r.number()
	r.literal(`,"time":`)
	seconds := r.number()
	r.literal(`,"filter":` + noFilterJSON + `}}`)
	r.end()
	if r.failed || len(signature) == 0 || len(p.signed) == 0 || len(p.certificate) == 0 || len(p.body) == 0 ||
		ttl < minTTLV1 || len(f.values[0]) != idLengthV1 || m.setUnix(seconds, 0) != nil {
		return false
	}
	m.Proof = Proof{Signed: p.signed, Signature: string(signature), Certificate: string(p.certificate)}
	p.take(m, &f, transportSender)
	return true
}

func (p *Parser) fastV2(transportSender []byte, m *Message) bool {
	c := cursor{text: p.secure}
	c.literal(`{"protocol":"` + secureRequestV2 + `","request":"`)
	p.signed = c.base64(p.signed[:0])
	c.literal(`,"signature":"`)
	signature := c.plain()
	c.literal(`,"caller":"`)
	token := c.plain()
	c.literal(`}`)
	c.end()

	r := cursor{text: p.signed, failed: c.failed}
	r.literal(`{"protocol":"` + requestV2 + `","message":"`)
	p.body = r.base64(p.body[:0])
	var f fields
	f.begin(&r, `,"`, `id":"`, `,"sender":"`, `,"caller":"`, `,"collective":"`, `,"agent":"`)
	r.literal(`,"ttl":`)
	ttl := r.number()
	r.literal(`,"time":`)
	nanoseconds := r.number()
	r.literal(`,"filter":` + noFilterJSON + `}`)
	r.end()
	if r.failed || len(signature) == 0 || len(token) == 0 || len(p.signed) == 0 || len(p.body) == 0 || len(f.values[2]) == 0 ||
		len(f.values[3]) == 0 || len(f.values[4]) == 0 || ttl < 1 || nanoseconds < 1 || m.setUnix(0, nanoseconds) != nil || m.setBody(p.body) != nil {
		return false
	}
	m.Proof = Proof{Signed: p.signed, Signature: string(signature), Token: string(token)}
	p.take(m, &f, transportSender)
	return true
}

// fields are the id, sender, caller, collective and agent of a request.
type fields struct{ values [5][]byte }

// begin reads them, each behind its key.
func (f *fields) begin(c *cursor, before string, keys ...string) {
	c.literal(before)
	for i, key := range keys {
		c.literal(key)
		f.values[i] = c.plain()
	}
}

// take makes strings of the fields, all out of one.
func (p *Parser) take(m *Message, f *fields, transportSender []byte) {
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
