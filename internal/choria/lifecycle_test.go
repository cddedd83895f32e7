package choria

import (
	"testing"
	"time"
)

// capturedShutdown is the shutdown event of a real Choria server.
const capturedShutdown = `{"specversion":"1.0","id":"731c413f-4b67-4839-bec6-905255805a09",` +
	`"source":"io.choria.lifecycle","type":"io.choria.lifecycle.v1.shutdown","subject":"node1.example.net",` +
	`"datacontenttype":"application/json","time":"2026-11-23T05:50:56Z",` +
	`"data":{"protocol":"io.choria.lifecycle.v1.shutdown","id":"731c413f-4b67-4839-bec6-905255805a09",` +
	`"identity":"node1.example.net","component":"server","timestamp":1795413056}}`

func TestEncodeShutdown_MatchesCapture(t *testing.T) {
	event, err := EncodeShutdown("node1.example.net", "731c413f-4b67-4839-bec6-905255805a09", time.Unix(1795413056, 0))
	if err != nil || string(event) != capturedShutdown {
		t.Errorf("have %s, %v, want %s", event, err, capturedShutdown)
	}
}

// capturedStartup is the startup event of a real Choria server in provisioning mode.
const capturedStartup = `{"specversion":"1.0","id":"82a50dd3-5946-4f46-9bd6-11ec5043cd97",` +
	`"source":"io.choria.lifecycle","type":"io.choria.lifecycle.v1.startup","subject":"vm",` +
	`"datacontenttype":"application/json","time":"2026-11-23T06:01:47Z",` +
	`"data":{"protocol":"io.choria.lifecycle.v1.startup","id":"82a50dd3-5946-4f46-9bd6-11ec5043cd97",` +
	`"identity":"vm","component":"provision_mode_server","timestamp":1795413707,"version":"0.29.4"}}`

func TestLifecycleEvent_MatchesCapture(t *testing.T) {
	e := LifecycleEvent{Type: "startup", Component: ComponentProvisioning, Identity: "vm", Version: "0.29.4"}
	event, err := e.Encode("82a50dd3-5946-4f46-9bd6-11ec5043cd97", time.Unix(1795413707, 0))
	if err != nil || string(event) != capturedStartup {
		t.Errorf("have %s, %v, want %s", event, err, capturedStartup)
	}
	if want := "choria.lifecycle.event.startup.provision_mode_server"; e.Subject() != want {
		t.Errorf("subject %s, want %s", e.Subject(), want)
	}
}

func TestLifecycleIdentity(t *testing.T) {
	for text, want := range map[string]string{ // empty: an error
		capturedShutdown: "node1.example.net",
		// legacy_lifecycle_format
		`{"protocol":"io.choria.lifecycle.v1.shutdown","identity":"web1","component":"server"}`: "web1",
		`{"data":{"identity":"web1"},"identity":"web2"}`:                                        "web1",
		`{"identity":"a b"}`:      "",
		`{"identity":"a..b"}`:     "",
		`{}`:                      "",
		`null`:                    "",
		`{"data":[]}`:             "",
		"{\"identity\":\"\xff\"}": "",
		``:                        "",
	} {
		t.Run(text, func(t *testing.T) {
			have, err := LifecycleIdentity([]byte(text))
			if want == "" && err == nil || want != "" && (err != nil || have != want) {
				t.Errorf("have %q, %v, want %q", have, err, want)
			}
		})
	}
}
