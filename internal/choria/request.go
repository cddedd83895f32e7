package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// Texts that unsigned requests carry instead of a certificate and a signature.
const (
	insecureRegistration = "insecure registration" // protocol 1: a node without a certificate
	insecure             = "insecure"              // a node or client that runs without security
)

// base64Insecure is the signature of an unsigned request of protocol 2.
var base64Insecure = base64.StdEncoding.EncodeToString([]byte(insecure))

// Request is a request to be published. EncodeV1 and EncodeV2 make the bytes of it.
type Request struct {
	ID         string // protocol 1: 32 characters; protocol 2: a KSUID
	Sender     string // the node's identity
	Caller     string // protocol 1: "choria=" and the certificate's name; protocol 2: the sender
	Collective string
	Agent      string
	TTL        time.Duration // encoded in whole seconds
	Time       time.Time     // encoded in seconds by protocol 1, in nanoseconds by 2
	Body       []byte
	Server     string // URL of the broker that the node is connected to
}

// NewRegistration returns a registration with the values that Choria's servers use. In
// protocol 1 a signed registration needs Caller too.
func NewRegistration(id, sender, collective string, now time.Time, body []byte) Request {
	return Request{
		ID: id, Sender: sender, Caller: sender, Collective: collective, Agent: "registration",
		TTL: time.Minute, Time: now, Body: body, Server: "nats://127.0.0.1:4222",
	}
}

// emptyFilter is the filter of a request that addresses every node.
var emptyFilter = requestFilter{
	Fact: []FactFilter{}, Class: []string{}, Agent: []string{}, Identity: []string{}, Compound: [][]map[string]any{},
}

// transportHeadersV1 are the headers of the transport layer. Each hop is the server that a
// process received the message from, the process, and the server that it published to.
type transportHeadersV1 struct {
	ReplyTo string      `json:"reply-to"`
	Sender  string      `json:"mc_sender"`
	SeenBy  [][3]string `json:"seen-by"`
}

type transportHeadersV2 struct {
	Reply  string      `json:"reply,omitempty"`
	Sender string      `json:"sender"`
	Trace  [][3]string `json:"trace"`
}

// EncodeV1 encodes the request in protocol 1 and signs it with an RSA key; certificate is the
// PEM text of the key's certificate. If key is nil, the request is unsigned, like the
// registration of a node without a certificate.
func (r Request) EncodeV1(key *rsa.PrivateKey, certificate string) ([]byte, error) {
	ttl, seconds := int64(r.TTL/time.Second), r.Time.Unix()
	request, err := json.Marshal(requestLayerV1{
		Protocol: requestV1,
		Message:  string(r.Body),
		Envelope: &requestEnvelopeV1{
			ID: &r.ID, Sender: &r.Sender, Caller: &r.Caller, Collective: &r.Collective, Agent: &r.Agent,
			TTL: &ttl, Time: &seconds, Filter: &emptyFilter,
		},
	})
	if err != nil {
		return nil, err
	}
	signature := []byte(insecureRegistration)
	if key == nil {
		certificate = insecureRegistration
	} else {
		digest := sha256.Sum256(request)
		if signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]); err != nil {
			return nil, fmt.Errorf("sign request: %w", err)
		}
	}
	return encodeTransport(transportV1, secureRequestLayerV1{
		Protocol:    secureRequestV1,
		Message:     string(request),
		Signature:   base64.StdEncoding.EncodeToString(signature),
		Certificate: certificate,
	}, transportHeadersV1{ReplyTo: "dev.null", Sender: r.Sender, SeenBy: r.hops()})
}

// EncodeV2 encodes the request in protocol 2 and signs it with the key that belongs to the
// token. If key is nil, the request is unsigned. Choria's schema requires a token all the same.
func (r Request) EncodeV2(key ed25519.PrivateKey, token string) ([]byte, error) {
	return r.encodeV2(&emptyFilter, "dev.null", key, token)
}

func (r Request) encodeV2(
	filter *requestFilter, replyTo string, key ed25519.PrivateKey, token string,
) ([]byte, error) {
	request, err := json.Marshal(requestLayerV2{
		Protocol: requestV2,
		Message:  base64.StdEncoding.EncodeToString(r.Body),
		ID:       r.ID, Sender: r.Sender, Caller: r.Caller, Collective: r.Collective, Agent: r.Agent,
		TTL: int64(r.TTL / time.Second), Time: r.Time.UnixNano(), Filter: filter,
	})
	if err != nil {
		return nil, err
	}
	signature := []byte(insecure)
	if key != nil {
		signature = ed25519.Sign(key, request)
	}
	return encodeTransport(transportV2, secureRequestLayerV2{
		Protocol:  secureRequestV2,
		Request:   base64.StdEncoding.EncodeToString(request),
		Signature: base64.StdEncoding.EncodeToString(signature),
		Caller:    token,
	}, transportHeadersV2{Reply: replyTo, Sender: r.Sender, Trace: r.hops()})
}

func (r Request) hops() [][3]string {
	return [][3]string{{r.Server, r.Sender, r.Server}}
}

// encodeTransport puts the secure layer and the headers into a transport layer.
func encodeTransport(protocol string, secure, headers any) ([]byte, error) {
	inner, err := json.Marshal(secure)
	if err != nil {
		return nil, err
	}
	outer, err := json.Marshal(headers)
	if err != nil {
		return nil, err
	}
	return json.Marshal(transport{
		Protocol: protocol,
		Data:     base64.StdEncoding.EncodeToString(inner),
		Headers:  outer,
	})
}
