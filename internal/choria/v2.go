package choria

// Protocol ids of version 2.
const (
	transportV2     = "io.choria.protocol.v2.transport"
	secureRequestV2 = "io.choria.protocol.v2.secure_request"
	secureReplyV2   = "io.choria.protocol.v2.secure_reply"
	requestV2       = "io.choria.protocol.v2.request"
	replyV2         = "io.choria.protocol.v2.reply"
)

type secureRequestLayerV2 struct {
	Protocol  string `json:"protocol"`
	Request   string `json:"request"`          // base64 of the inner layer
	Signature string `json:"signature"`        // base64, ed25519
	Caller    string `json:"caller"`           // JWT
	Signer    string `json:"signer,omitempty"` // JWT
}

type requestLayerV2 struct {
	Protocol   string         `json:"protocol"`
	Message    string         `json:"message"` // base64 of the body
	ID         string         `json:"id"`
	Sender     string         `json:"sender"`
	Caller     string         `json:"caller"`
	Collective string         `json:"collective"`
	Agent      string         `json:"agent"`
	TTL        int64          `json:"ttl"`  // seconds
	Time       int64          `json:"time"` // Unix nanoseconds
	Filter     *requestFilter `json:"filter"`
}

func parseRequestV2(text []byte, m *Message) error {
	var secure secureRequestLayerV2
	if err := decodeJSON("secure request", text, &secure); err != nil {
		return err
	}
	if err := secure.check(); err != nil {
		return err
	}
	signed, err := decodeBase64("secure request", secure.Request)
	if err != nil {
		return err
	}
	m.Proof = Proof{Signed: signed, Signature: secure.Signature, Token: secure.Caller, SignerToken: secure.Signer}

	var request requestLayerV2
	if err := decodeJSON("request", signed, &request); err != nil {
		return err
	}
	if err := request.check(); err != nil {
		return err
	}
	body, err := decodeBase64("request message", request.Message)
	if err != nil {
		return err
	}
	m.ID, m.Sender, m.Caller = request.ID, request.Sender, request.Caller
	m.Collective, m.Agent = request.Collective, request.Agent
	if err := m.setUnix(0, request.Time); err != nil {
		return err
	}
	return m.setBody(body)
}

func (s *secureRequestLayerV2) check() error {
	switch {
	case s.Protocol != secureRequestV2:
		return unknownProtocol("secure request", s.Protocol)
	case s.Request == "":
		return schemaError("secure request", "request is empty")
	case s.Signature == "":
		return schemaError("secure request", "signature is empty")
	case s.Caller == "":
		return schemaError("secure request", "caller is empty")
	}
	return nil
}

func (r *requestLayerV2) check() error {
	switch {
	case r.Protocol != requestV2:
		return unknownProtocol("request", r.Protocol)
	case r.Message == "":
		return schemaError("request", "message is empty")
	case r.Caller == "":
		return schemaError("request", "caller is empty")
	case r.Collective == "":
		return schemaError("request", "collective is empty")
	case r.Agent == "":
		return schemaError("request", "agent is empty")
	case r.TTL < 1:
		return schemaError("request", "ttl is below 1")
	case r.Time < 1:
		return schemaError("request", "time is below 1")
	}
	return nil
}

type secureReplyLayerV2 struct {
	Protocol  string `json:"protocol"`
	Reply     string `json:"reply"`               // base64 of the inner layer
	Hash      string `json:"hash"`                // base64, SHA-256
	Signature string `json:"signature,omitempty"` // base64, ed25519
	Sender    string `json:"sender,omitempty"`    // JWT
}

type replyLayerV2 struct {
	Protocol string `json:"protocol"`
	Message  string `json:"message"`
	ID       string `json:"request"`
	Sender   string `json:"sender"`
	Agent    string `json:"agent"`
	Time     int64  `json:"time"` // Unix nanoseconds
}

func parseReplyV2(text []byte, m *Message) error {
	var secure secureReplyLayerV2
	if err := decodeJSON("secure reply", text, &secure); err != nil {
		return err
	}
	m.Reply = true
	if secure.Protocol != secureReplyV2 {
		return unknownProtocol("secure reply", secure.Protocol)
	}
	signed, err := decodeBase64("secure reply", secure.Reply)
	if err != nil {
		return err
	}
	m.Proof = Proof{Signed: signed, Signature: secure.Signature, Token: secure.Sender, Hash: secure.Hash}

	var reply replyLayerV2
	if err := decodeJSON("reply", signed, &reply); err != nil {
		return err
	}
	if reply.Protocol != replyV2 {
		return unknownProtocol("reply", reply.Protocol)
	}
	body, err := decodeBase64("reply message", reply.Message)
	if err != nil {
		return err
	}
	m.ID, m.Sender, m.Agent = reply.ID, reply.Sender, reply.Agent
	if err := m.setUnix(0, reply.Time); err != nil {
		return err
	}
	return m.setBody(body)
}
