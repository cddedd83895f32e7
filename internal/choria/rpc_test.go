package choria

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
)

// TestEncodeUnsignedRPC_MatchesCapture encodes a captured request and its reply again. The request was signed.
func TestEncodeUnsignedRPC_MatchesCapture(t *testing.T) {
	captured := read(t, "v1-mtls/rpc-direct-request.transport.json")
	request, err := ParseRPCRequest(captured)
	if err != nil {
		t.Fatal(err)
	}
	if request.Action != "ping" || request.Agent != "rpcutil" || request.ReplyTo == "" {
		t.Errorf("%+v", request)
	}
	r := NewRegistration(request.ID, request.Sender, request.Collective, request.Time, nil)
	r.Agent, r.Caller, r.Server = request.Agent, request.Caller, "nats://127.0.0.1:14222"
	raw, err := r.EncodeUnsignedRPC(request.Action, request.ReplyTo, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	have, want := secureLayer(t, raw), secureLayer(t, captured)
	if have["signature"] != insecure || have["pubcert"] != insecure || have["message"] != want["message"] {
		t.Errorf("have %v, want %v", have, want)
	}
	if h, w := headersOf(t, raw), headersOf(t, captured); h != w {
		t.Errorf("have headers %s, want %s", h, w)
	}
}

func TestEncodeReply_MatchesCapture(t *testing.T) {
	request, err := ParseRPCRequest(read(t, "v1-mtls/rpc-direct-request.transport.json"))
	if err != nil {
		t.Fatal(err)
	}
	captured := read(t, "v1-mtls/rpc-direct-reply.transport.json")
	reply, err := ParseRPCReply(captured)
	if err != nil || reply.Status != 0 || reply.Text != "OK" || !bytes.Contains(reply.Data, []byte("pong")) {
		t.Fatalf("%+v %v", reply, err)
	}
	at := request.Time // the node replied in the same second
	raw, err := request.EncodeReply(reply, "node1.example.net", "nats://127.0.0.1:14222", at)
	if err != nil || !bytes.Equal(raw, bytes.TrimSpace(captured)) {
		t.Errorf("%v\nhave %s\nwant %s", err, raw, captured)
	}
}

// secureLayer returns the secure layer of a message.
func secureLayer(t *testing.T, raw []byte) (layer map[string]any) {
	t.Helper()
	var outer transport
	if err := json.Unmarshal(raw, &outer); err != nil {
		t.Fatal(err)
	}
	secure, err := base64.StdEncoding.DecodeString(outer.Data)
	if err == nil {
		err = json.Unmarshal(secure, &layer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func headersOf(t *testing.T, raw []byte) string {
	t.Helper()
	var outer transport
	if err := json.Unmarshal(raw, &outer); err != nil {
		t.Fatal(err)
	}
	return string(outer.Headers)
}
