package choria

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

// RPCRequest is a request to run an action of an agent.
type RPCRequest struct {
	*Message
	ReplyTo string // subject for the reply
	Action  string
	Data    json.RawMessage // arguments
}

// RPCReply is the reply of one node to an RPCRequest.
type RPCReply struct {
	Action string          `json:"action"`
	Status int             `json:"statuscode"` // 0: the action succeeded
	Text   string          `json:"statusmsg"`  // why it did not, or OK
	Data   json.RawMessage `json:"data"`
}

// rpcBody is the body of a request.
type rpcBody struct {
	Agent  string          `json:"agent"`
	Action string          `json:"action"`
	Data   json.RawMessage `json:"data"`
}

// EncodeUnsignedRPC encodes a request to run an action of r.Agent, in protocol 1 and unsigned, as Choria's clients send
// it to nodes in provisioning mode. data are the arguments. r.Body is not used.
func (r Request) EncodeUnsignedRPC(action, replyTo string, data any) ([]byte, error) {
	arguments, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	if r.Body, err = json.Marshal(rpcBody{r.Agent, action, arguments}); err != nil {
		return nil, err
	}
	filter := emptyFilter
	filter.Agent = []string{r.Agent}
	request, err := r.layerV1(&filter)
	if err != nil {
		return nil, err
	}
	return encodeTransport(transportV1, secureRequestLayerV1{
		Protocol: secureRequestV1, Message: string(request), Signature: insecure, Certificate: insecure,
	}, transportHeadersV1{ReplyTo: replyTo, Sender: r.Sender, SeenBy: r.hops()})
}

// ParseRPCRequest parses a request of protocol 1. It verifies no signature.
func ParseRPCRequest(raw []byte) (*RPCRequest, error) {
	m, err := parse(raw, parseRequestV1, parseRequestV2)
	if err != nil {
		return nil, err
	}
	var t struct {
		Headers transportHeadersV1 `json:"headers"`
	}
	if err := decodeJSON("transport", raw, &t); err != nil {
		return nil, err
	}
	var body rpcBody
	if err := decodeJSON("body", m.Body, &body); err != nil {
		return nil, err
	}
	return &RPCRequest{Message: m, ReplyTo: t.Headers.ReplyTo, Action: body.Action, Data: body.Data}, nil
}

// EncodeReply encodes the reply of a node that is connected to the broker at a URL, in protocol 1.
func (r *RPCRequest) EncodeReply(reply RPCReply, node, broker string, now time.Time) ([]byte, error) {
	reply.Action = r.Action
	body, err := json.Marshal(reply)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(replyLayerV1{
		Protocol: replyV1, Message: string(body),
		Envelope: &replyEnvelopeV1{ID: r.ID, Sender: node, Agent: r.Agent, Time: now.Unix()},
	})
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(text)
	return encodeTransport(transportV1, secureReplyLayerV1{
		Protocol: secureReplyV1, Message: string(text), Hash: base64.StdEncoding.EncodeToString(hash[:]),
	}, transportHeadersV1{Sender: node, SeenBy: [][3]string{{broker, node, broker}}})
}

// ParseRPCReply parses a reply of either protocol.
func ParseRPCReply(raw []byte) (reply RPCReply, err error) {
	m, err := parse(raw, parseReplyV1, parseReplyV2)
	if err != nil {
		return reply, err
	}
	return reply, decodeJSON("body", m.Body, &reply)
}
