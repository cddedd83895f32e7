package choria

import (
	"testing"
	"time"
)

// capturedGoodbye is the goodbye of a real Choria server.
const capturedGoodbye = `{"specversion":"1.0","id":"731c413f-4b67-4839-bec6-905255805a09","source":"io.choria.lifecycle","type":"io.choria.lifecycle.v1.shutdown","subject":"node1.example.net","datacontenttype":"application/json","time":"2026-11-23T05:50:56Z","data":{"protocol":"io.choria.lifecycle.v1.shutdown","id":"731c413f-4b67-4839-bec6-905255805a09","identity":"node1.example.net","component":"server","timestamp":1795413056}}`

func TestAGoodbyeSaysWhoStops(t *testing.T) {
	event, err := EncodeShutdown("node1.example.net", "731c413f-4b67-4839-bec6-905255805a09", time.Unix(1795413056, 0))
	if err != nil || string(event) != capturedGoodbye {
		t.Errorf("have %s, %v, want %s", event, err, capturedGoodbye)
	}
	for text, want := range map[string]string{
		capturedGoodbye: "node1.example.net",
		`{"protocol":"io.choria.lifecycle.v1.shutdown","identity":"web1","component":"server"}`: "web1", // legacy_lifecycle_format
		`{"data":{"identity":"web1"},"identity":"web2"}`:                                        "web1",
		`{"identity":"a b"}`:      "",
		`{"identity":"a..b"}`:     "",
		`{}`:                      "",
		`null`:                    "",
		`{"data":[]}`:             "",
		"{\"identity\":\"\xff\"}": "",
		``:                        "",
	} {
		have, err := LifecycleIdentity([]byte(text))
		if want == "" && err == nil || want != "" && (err != nil || have != want) {
			t.Errorf("%s: %q, %v", text, have, err)
		}
	}
}

func TestOutputGivesItsBodyBack(t *testing.T) {
	m := Message{Sender: "web1", ID: "1", Time: time.Unix(1, 0), Body: []byte(`{"a":"<ü>"}`)}
	body, err := OutputBody(m.AppendOutput(nil))
	if err != nil || string(body) != string(m.Body) {
		t.Errorf("%s, %v", body, err)
	}
	for _, text := range []string{``, `{}`, `null`, `{"protocol":"x","data":"y"}`, "{\"data\":\"\xff\"}"} {
		if _, err := OutputBody([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
