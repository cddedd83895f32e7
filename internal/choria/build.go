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

// What a node without a certificate, or without a key, writes in the place of its proof.
const (
	insecureRegistration = "insecure registration"
	insecure             = "insecure"
)

// base64Insecure is how an unsigned request of protocol 2 is signed.
var base64Insecure = base64.StdEncoding.EncodeToString([]byte(insecure))

// Request is what a node is about to publish.
type Request struct {
	ID         string // protocol 1: 32 characters; protocol 2: a KSUID
	Sender     string
	Caller     string // protocol 1: "choria=" and the certificate's name; else the sender
	Collective string
	Agent      string
	TTL        time.Duration
	Time       time.Time
	Body       []byte
	Server     string // URL of the broker that the node is connected to
}

// NewRegistration is a registration with what every node puts into one.
func NewRegistration(id, sender, collective string, now time.Time, body []byte) Request {
	return Request{
		ID: id, Sender: sender, Caller: sender, Collective: collective, Agent: "registration",
		TTL: time.Minute, Time: now, Body: body, Server: "nats://127.0.0.1:4222",
	}
}

// noFilter is the filter of a request that is for everybody.
var noFilter = filter{
	Fact: []factFilter{}, Class: []string{}, Agent: []string{}, Identity: []string{}, Compound: [][]map[string]any{},
}

type headersV1 struct {
	ReplyTo string      `json:"reply-to"`
	Sender  string      `json:"mc_sender"`
	SeenBy  [][3]string `json:"seen-by"`
}

type headersV2 struct {
	Reply  string      `json:"reply"`
	Sender string      `json:"sender"`
	Trace  [][3]string `json:"trace"`
}

// EncodeV1 is the request in protocol 1, signed with an RSA key whose certificate is given as
// PEM. Without a key it is unsigned, as a node without a certificate registers.
func (r Request) EncodeV1(key *rsa.PrivateKey, certificate string) ([]byte, error) {
	ttl, seconds := int64(r.TTL/time.Second), r.Time.Unix()
	request, err := json.Marshal(requestLayerV1{
		Protocol: requestV1,
		Message:  string(r.Body),
		Envelope: &requestEnvelopeV1{
			ID: &r.ID, Sender: &r.Sender, Caller: &r.Caller, Collective: &r.Collective, Agent: &r.Agent,
			TTL: &ttl, Time: &seconds, Filter: &noFilter,
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
	return r.transport(transportV1, secureRequestLayerV1{
		Protocol:    secureRequestV1,
		Message:     string(request),
		Signature:   base64.StdEncoding.EncodeToString(signature),
		Certificate: certificate,
	}, headersV1{ReplyTo: "dev.null", Sender: r.Sender, SeenBy: r.hops()})
}

// EncodeV2 is the request in protocol 2, signed with the key that the token is for. Without a
// key it is unsigned; Choria's own schema then refuses it where the token is empty too.
func (r Request) EncodeV2(key ed25519.PrivateKey, token string) ([]byte, error) {
	request, err := json.Marshal(requestLayerV2{
		Protocol: requestV2,
		Message:  base64.StdEncoding.EncodeToString(r.Body),
		ID:       r.ID, Sender: r.Sender, Caller: r.Caller, Collective: r.Collective, Agent: r.Agent,
		TTL: int64(r.TTL / time.Second), Time: r.Time.UnixNano(), Filter: &noFilter,
	})
	if err != nil {
		return nil, err
	}
	signature := []byte(insecure)
	if key != nil {
		signature = ed25519.Sign(key, request)
	}
	return r.transport(transportV2, secureRequestLayerV2{
		Protocol:  secureRequestV2,
		Request:   base64.StdEncoding.EncodeToString(request),
		Signature: base64.StdEncoding.EncodeToString(signature),
		Caller:    token,
	}, headersV2{Reply: "dev.null", Sender: r.Sender, Trace: r.hops()})
}

func (r Request) hops() [][3]string {
	return [][3]string{{r.Server, r.Sender, r.Server}}
}

func (r Request) transport(protocol string, secure, headers any) ([]byte, error) {
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
