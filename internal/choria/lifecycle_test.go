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
