package choria

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recordings has what Choria's provisioner and a server in provisioning mode sent; see its README.md.
var recordings = filepath.Join("..", "..", "..", "broker", "testdata", "provisioning")

// recordedPublishes returns the messages that were published on subjects with this prefix.
func recordedPublishes(t *testing.T, prefix string) (messages [][]byte) {
	t.Helper()
	for line := range strings.Lines(string(read(t, filepath.Join(recordings, "recording.jsonl")))) {
		var operation struct{ From, Line, Data string }
		if err := json.Unmarshal([]byte(line), &operation); err != nil {
			t.Fatal(err)
		}
		if operation.From == "client" && strings.HasPrefix(operation.Line, "PUB "+prefix) {
			messages = append(messages, []byte(operation.Data))
		}
	}
	return messages
}

// TestProvision_MatchesRecording encodes the requests of Choria's provisioner again, byte for byte, and the replies of
// a Choria server.
func TestProvision_MatchesRecording(t *testing.T) {
	seed, err := hex.DecodeString(string(bytes.TrimSpace(read(t, filepath.Join(recordings, "signer.seed")))))
	if err != nil {
		t.Fatal(err)
	}
	requests, encoded := map[string]*RPCRequest{}, map[string]int{}
	for _, raw := range recordedPublishes(t, CollectiveProvisioning+".node.") {
		request, err := ParseRPCRequest(raw)
		if err != nil {
			t.Fatal(err)
		}
		requests[request.ID] = request
		arguments := map[string]any{
			ActionGenKey: &GenKeyRequest{}, ActionConfigure: &ConfigureRequest{}, ActionRestart: &RestartRequest{},
		}[request.Action]
		if arguments == nil { // the demo's provisioner does not make it
			continue
		}
		encoded[request.Action]++
		if err := json.Unmarshal(request.Data, arguments); err != nil {
			t.Fatal(err)
		}
		r := NewRegistration(request.ID, request.Sender, request.Collective, request.Time, nil)
		r.Agent, r.Caller, r.Server = request.Agent, request.Caller, serverOf(t, raw)
		key := ed25519.NewKeyFromSeed(seed)
		again, err := r.EncodeRPC(request.Action, request.ReplyTo, arguments, key, request.Proof.Token)
		if err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s %v\nhave %s\nwant %s", request.Action, err, again, raw)
		}
	}
	for _, raw := range recordedPublishes(t, CollectiveProvisioning+".reply.") {
		message, err := new(Parser).Reply(raw)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := ParseRPCReply(raw)
		if err != nil || requests[message.ID] == nil {
			t.Fatalf("%s: %v", message.ID, err)
		}
		again, err := requests[message.ID].EncodeReply(reply, message.Sender, serverOf(t, raw), message.Time)
		if err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%v\nhave %s\nwant %s", err, again, raw)
		}
		encoded["reply"]++
	}
	want := map[string]int{ActionGenKey: 1, ActionConfigure: 1, ActionRestart: 1, "reply": 5}
	if !maps.Equal(encoded, want) {
		t.Errorf("encoded %v, want %v", encoded, want)
	}
}

// TestLifecycleEvent_MatchesRecording encodes the events of a server in provisioning mode again.
func TestLifecycleEvent_MatchesRecording(t *testing.T) {
	for kind, version := range map[string]string{"startup": "0.29.4", "provisioned": "", "shutdown": ""} {
		e := LifecycleEvent{Type: kind, Component: ComponentProvisioning, Version: version}
		recorded := recordedPublishes(t, e.Subject()+" ")
		if len(recorded) != 1 {
			t.Fatalf("%d events %s", len(recorded), kind)
		}
		var event cloudEvent
		if err := json.Unmarshal(recorded[0], &event); err != nil {
			t.Fatal(err)
		}
		e.Identity = event.Subject
		again, err := e.Encode(event.ID, time.Unix(event.Data.Timestamp, 0))
		if err != nil || !bytes.Equal(again, recorded[0]) {
			t.Errorf("%v\nhave %s\nwant %s", err, again, recorded[0])
		}
	}
}

// serverOf returns the URL of the broker through which a message went.
func serverOf(t *testing.T, raw []byte) string {
	t.Helper()
	var headers transportHeadersV2
	if err := json.Unmarshal([]byte(headersOf(t, raw)), &headers); err != nil || len(headers.Trace) != 1 {
		t.Fatalf("%v, trace %v", err, headers.Trace)
	}
	return headers.Trace[0][0]
}
