package choria

import (
	"os"
	"testing"
	"time"
)

func TestAGoodbyeSaysWhoStops(t *testing.T) {
	captured, err := os.ReadFile("testdata/lifecycle/shutdown.json")
	if err != nil {
		t.Fatal(err)
	}
	event, err := Shutdown("node1.example.net", "731c413f-4b67-4839-bec6-905255805a09", time.Unix(1795413056, 0))
	if err != nil || string(event) != string(captured) {
		t.Errorf("have %s, %v, want %s", event, err, captured)
	}
	for text, want := range map[string]string{
		string(captured): "node1.example.net",
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
