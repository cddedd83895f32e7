package choria

import (
	"crypto/ed25519"
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

// EncodeRPC encodes a request to run an action of r.Agent in protocol 2, and signs it with the key that belongs to the
// token of a client. data are the arguments. r.Body is not used.
func (r Request) EncodeRPC(action, replyTo string, data any, key ed25519.PrivateKey, token string) ([]byte, error) {
	arguments, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	if r.Body, err = json.Marshal(rpcBody{r.Agent, action, arguments}); err != nil {
		return nil, err
	}
	filter := emptyFilter
	filter.Agent = []string{r.Agent}
	return r.encodeV2(&filter, replyTo, key, token)
}

// ParseRPCRequest parses a request of protocol 2. It verifies no signature.
func ParseRPCRequest(raw []byte) (*RPCRequest, error) {
	m, err := parse(raw, parseRequestV1, parseRequestV2)
	if err != nil {
		return nil, err
	}
	var t struct {
		Headers transportHeadersV2 `json:"headers"`
	}
	if err := decodeJSON("transport", raw, &t); err != nil {
		return nil, err
	}
	var body rpcBody
	if err := decodeJSON("body", m.Body, &body); err != nil {
		return nil, err
	}
	return &RPCRequest{Message: m, ReplyTo: t.Headers.Reply, Action: body.Action, Data: body.Data}, nil
}

// EncodeReply encodes the reply of a node in protocol 2. It is not signed, as that of a node in provisioning mode.
// server is the URL of the broker that the node is connected to.
func (r *RPCRequest) EncodeReply(reply RPCReply, node, server string, now time.Time) ([]byte, error) {
	reply.Action = r.Action
	body, err := json.Marshal(reply)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(replyLayerV2{
		Protocol: replyV2, Message: base64.StdEncoding.EncodeToString(body),
		ID: r.ID, Sender: node, Agent: r.Agent, Time: now.UnixNano(),
	})
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(text)
	return encodeTransport(transportV2, secureReplyLayerV2{
		Protocol: secureReplyV2, Reply: base64.StdEncoding.EncodeToString(text),
		Hash: base64.StdEncoding.EncodeToString(hash[:]),
	}, transportHeadersV2{Sender: node, Trace: [][3]string{{server, node, server}}})
}

// ParseRPCReply parses a reply of either protocol.
func ParseRPCReply(raw []byte) (reply RPCReply, err error) {
	m, err := parse(raw, parseReplyV1, parseReplyV2)
	if err != nil {
		return reply, err
	}
	return reply, decodeJSON("body", m.Body, &reply)
}
