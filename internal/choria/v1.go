package choria

// Protocol ids of version 1.
const (
	transportV1     = "choria:transport:1"
	secureRequestV1 = "choria:secure:request:1"
	secureReplyV1   = "choria:secure:reply:1"
	requestV1       = "choria:request:1"
	replyV1         = "choria:reply:1"
)

// Limits in the schema of version 1 requests.
const (
	idLengthV1 = 32 // characters
	minTTLV1   = 30 // seconds
)

type secureRequestLayerV1 struct {
	Protocol    string `json:"protocol"`
	Message     string `json:"message"`   // the inner layer, as text
	Signature   string `json:"signature"` // base64, RSA PKCS #1 v1.5 with SHA-256
	Certificate string `json:"pubcert"`   // PEM
}

type requestLayerV1 struct {
	Protocol string             `json:"protocol"`
	Message  string             `json:"message"` // the body
	Envelope *requestEnvelopeV1 `json:"envelope"`
}

// requestEnvelopeV1 holds the fields of a request. They are pointers because a missing key is an
// error and an empty value is not.
type requestEnvelopeV1 struct {
	ID         *string        `json:"requestid"`
	Sender     *string        `json:"senderid"`
	Caller     *string        `json:"callerid"`
	Collective *string        `json:"collective"`
	Agent      *string        `json:"agent"`
	TTL        *int64         `json:"ttl"`  // seconds
	Time       *int64         `json:"time"` // Unix seconds
	Filter     *requestFilter `json:"filter"`
}

func parseRequestV1(text []byte, m *Message) error {
	var secure secureRequestLayerV1
	if err := decodeJSON("secure request", text, &secure); err != nil {
		return err
	}
	if err := secure.check(); err != nil {
		return err
	}
	m.Proof = Proof{Signed: []byte(secure.Message), Signature: secure.Signature, Certificate: secure.Certificate}

	var request requestLayerV1
	if err := decodeJSON("request", m.Proof.Signed, &request); err != nil {
		return err
	}
	if request.Protocol != requestV1 {
		return unknownProtocol("request", request.Protocol)
	}
	envelope := request.Envelope
	if err := envelope.check(); err != nil {
		return err
	}
	if request.Message == "" {
		return schemaError("request", "message is empty")
	}
	m.ID, m.Sender, m.Caller = *envelope.ID, *envelope.Sender, *envelope.Caller
	m.Collective, m.Agent = *envelope.Collective, *envelope.Agent
	m.Body = []byte(request.Message)
	return m.setUnix(*envelope.Time, 0)
}

func (s *secureRequestLayerV1) check() error {
	switch {
	case s.Protocol != secureRequestV1:
		return unknownProtocol("secure request", s.Protocol)
	case s.Message == "":
		return schemaError("secure request", "message is empty")
	case s.Signature == "":
		return schemaError("secure request", "signature is empty")
	case s.Certificate == "":
		return schemaError("secure request", "pubcert is empty")
	}
	return nil
}

func (e *requestEnvelopeV1) check() error {
	switch {
	case e == nil:
		return schemaError("request", "the envelope is missing")
	case e.ID == nil, e.Sender == nil, e.Caller == nil, e.Collective == nil, e.Agent == nil,
		e.TTL == nil, e.Time == nil:
		return schemaError("request", "a key of the envelope is missing")
	case *e.TTL < minTTLV1:
		return schemaError("request", "ttl is below 30")
	case !e.Filter.complete():
		return schemaError("request", "filter is incomplete")
	}
	if err := checkID(*e.ID); err != nil {
		return err
	}
	if len(*e.ID) != idLengthV1 {
		return schemaError("request", "requestid is not 32 characters long")
	}
	return nil
}

type secureReplyLayerV1 struct {
	Protocol string `json:"protocol"`
	Message  string `json:"message"`
	Hash     string `json:"hash"` // base64, SHA-256
}

type replyLayerV1 struct {
	Protocol string `json:"protocol"`
	Message  string `json:"message"`
	Envelope *struct {
		ID     string `json:"requestid"`
		Sender string `json:"senderid"`
		Agent  string `json:"agent"`
		Time   int64  `json:"time"` // Unix seconds
	} `json:"envelope"`
}

func parseReplyV1(text []byte, m *Message) error {
	var secure secureReplyLayerV1
	if err := decodeJSON("secure reply", text, &secure); err != nil {
		return err
	}
	m.Reply = true
	if secure.Protocol != secureReplyV1 {
		return unknownProtocol("secure reply", secure.Protocol)
	}
	m.Proof = Proof{Signed: []byte(secure.Message), Hash: secure.Hash}

	var reply replyLayerV1
	if err := decodeJSON("reply", m.Proof.Signed, &reply); err != nil {
		return err
	}
	if reply.Protocol != replyV1 {
		return unknownProtocol("reply", reply.Protocol)
	}
	if reply.Envelope == nil {
		return schemaError("reply", "the envelope is missing")
	}
	m.ID, m.Sender, m.Agent = reply.Envelope.ID, reply.Envelope.Sender, reply.Envelope.Agent
	m.Body = []byte(reply.Message)
	return m.setUnix(reply.Envelope.Time, 0)
}
