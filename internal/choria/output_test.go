package choria

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// marshalOutput returns the adapter's output as encoding/json writes it.
func marshalOutput(tb testing.TB, m *Message) []byte {
	tb.Helper()
	text, err := json.Marshal(struct {
		Protocol string    `json:"protocol"`
		Data     string    `json:"data"`
		Sender   string    `json:"sender"`
		Time     time.Time `json:"time"`
		ID       string    `json:"requestid"`
	}{outputProtocol, string(m.Body), m.Sender, m.Time, m.ID})
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestMessage_AppendOutputMatchesCaptures(t *testing.T) {
	for _, c := range captures(t, "adapter") {
		name := strings.TrimSuffix(c.File, ".adapter.json")
		t.Run(name, func(t *testing.T) {
			m, err := parserOf(name)(read(t, name+".transport.json"))
			if err != nil {
				t.Fatal(err)
			}
			have := m.AppendOutput(nil)
			if want := read(t, c.File); string(have) != string(want) {
				t.Errorf("have\n%s\nwant\n%s", have, want)
			}
		})
	}
}

func TestOutputBody_ReturnsBody(t *testing.T) {
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
