package choria

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"testing"
)

// TestEncodeRPC_MatchesCapture encodes a captured request again, with another key.
func TestEncodeRPC_MatchesCapture(t *testing.T) {
	captured := read(t, "v2-issuer/rpc-direct-request.transport.json")
	request, err := ParseRPCRequest(captured)
	if err != nil {
		t.Fatal(err)
	}
	if request.Action != "ping" || request.Agent != "rpcutil" || request.ReplyTo == "" {
		t.Errorf("%+v", request)
	}
	r := NewRegistration(request.ID, request.Sender, request.Collective, request.Time, nil)
	r.Agent, r.Caller, r.Server = request.Agent, request.Caller, "nats://127.0.0.1:14242"
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.EncodeRPC(request.Action, request.ReplyTo, map[string]any{}, private, request.Proof.Token)
	if err != nil {
		t.Fatal(err)
	}
	have, err := ParseRPCRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(have.Proof.Signature)
	if err != nil || !ed25519.Verify(public, have.Proof.Signed, signature) {
		t.Errorf("the signature is wrong, %v", err)
	}
	if !bytes.Equal(have.Proof.Signed, request.Proof.Signed) || have.Proof.Token != request.Proof.Token {
		t.Errorf("have %s\nwant %s", have.Proof.Signed, request.Proof.Signed)
	}
	if h, w := headersOf(t, raw), headersOf(t, captured); h != w {
		t.Errorf("have headers %s, want %s", h, w)
	}
}

// TestEncodeReply_MatchesCapture encodes a captured reply again, without its signature.
func TestEncodeReply_MatchesCapture(t *testing.T) {
	request, err := ParseRPCRequest(read(t, "v2-issuer/rpc-direct-request.transport.json"))
	if err != nil {
		t.Fatal(err)
	}
	captured := read(t, "v2-issuer/rpc-direct-reply.transport.json")
	message, err := new(Parser).Reply(captured)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := ParseRPCReply(captured)
	if err != nil || reply.Status != 0 || reply.Text != "OK" || !bytes.Contains(reply.Data, []byte("pong")) {
		t.Fatalf("%+v %v", reply, err)
	}
	raw, err := request.EncodeReply(reply, message.Sender, "nats://127.0.0.1:14242", message.Time)
	if err != nil {
		t.Fatal(err)
	}
	have, err := new(Parser).Reply(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have.Proof.Signed, message.Proof.Signed) || have.Proof.Hash != message.Proof.Hash ||
		have.Proof.Signature != "" {
		t.Errorf("have %s\nwant %s", have.Proof.Signed, message.Proof.Signed)
	}
	if h, w := headersOf(t, raw), headersOf(t, captured); h != w {
		t.Errorf("have headers %s, want %s", h, w)
	}
}

func headersOf(t *testing.T, raw []byte) string {
	t.Helper()
	var outer transport
	if err := json.Unmarshal(raw, &outer); err != nil {
		t.Fatal(err)
	}
	return string(outer.Headers)
}
