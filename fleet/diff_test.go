package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// says is what a node registers, one after the other.
func (s *stage) says(f *Fleet, bodies ...[]byte) {
	s.tb.Helper()
	for i, body := range bodies {
		s.register(1, func(n int) []byte {
			m := choria.Message{Sender: name(n), ID: fmt.Sprint(i), Time: time.Unix(1, 0), Body: body}
			return m.AppendOutput(nil)
		})
	}
	s.eventually(func() error {
		if d, _, err := f.Detail(s.tb.Context(), name(0)); len(d.Arrivals) != len(bodies) {
			return fmt.Errorf("%d arrivals, %v", len(d.Arrivals), err)
		}
		return nil
	})
}

func inventoryBody(t *testing.T, inventory string) []byte {
	t.Helper()
	body, err := choria.InventoryBody([]byte(inventory), true)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestWhatTheLastRegistrationChanged(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	s.says(f,
		inventoryBody(t, `{"classes":["older"],"agents":[],"facts":{}}`),
		inventoryBody(t, `{"classes":["base","web"],"agents":[{"name":"rpcutil"}],"facts":{"os":{"name":"Debian","release":{"major":"12"}},"cores":4,"uptime":5,"memory":{"used":1},"disks":["sda"],"gone":true,"empty":{}}}`),
		inventoryBody(t, `{"classes":["base","db"],"agents":[{"name":"rpcutil"},{"name":"puppet"}],"facts":{"os":{"name":"Debian","release":{"major":"13"}},"cores":4,"uptime":9,"memory":{"used":2},"disks":[ "sda", "sdb" ],"new":null,"empty":{}}}`),
	)
	d, known, err := f.Diff(t.Context(), name(0))
	if err != nil || !known || d.Before == nil || d.Now == nil || d.Now.Sequence != 3 || d.Before.Sequence != 2 || d.Volatile != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	var have []string
	for _, c := range d.Changes {
		have = append(have, fmt.Sprintf("%s %s %s %s→%s", c.Kind, c.Name, c.Change, c.Before, c.Now))
	}
	want := []string{
		`fact disks changed ["sda"]→["sda","sdb"]`, `fact gone removed true→`, `fact new added →null`, `fact os.release.major changed "12"→"13"`,
		`class db added →`, `class web removed →`, `agent puppet added →`,
	}
	// Inventories are compacted on their way.
	if text := strings.ReplaceAll(strings.Join(have, "\n"), `[ "sda", "sdb" ]`, `["sda","sdb"]`); text != strings.Join(want, "\n") {
		t.Errorf("changes:\n%s", text)
	}
	detail, _, err := f.Detail(t.Context(), name(0))
	if err != nil || detail.Registration == nil || detail.Registration.Kind != "inventory" || !strings.Contains(string(detail.Registration.Data), `"db"`) ||
		detail.Arrivals[0].Sequence != 3 || detail.Arrivals[2].Sequence != 1 || detail.Arrivals[0].Bytes == 0 {
		t.Errorf("%+v, %v", detail, err)
	}
}

func TestARegistrationBeforeALongAbsenceIsComparedToo(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	s.says(f, inventoryBody(t, `{"facts":{"cores":4}}`), inventoryBody(t, `{"facts":{"cores":8}}`))
	f.withRegistry(func(r *registry, _ time.Time) { // as if both were stored long before what its habits say
		n := r.nodes[name(0)]
		n.Received, n.interval = n.Received.Add(time.Hour), time.Minute
	})
	if d, _, err := f.Diff(t.Context(), name(0)); err != nil || d.Before == nil || len(d.Changes) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestWhatCannotBeComparedIsNoChange(t *testing.T) {
	file := func(text string) []byte {
		body, err := choria.FileBody("/f", time.Unix(1, 0), false, []byte(text), true)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for label, bodies := range map[string][][]byte{
		"one": {file(`{"a":1}`)}, "text": {file("one"), file("two")}, "the same": {file(`{"a":{"b":1}}`), file(` {"a" : {"b":1} }`)},
		"no output": {[]byte("x"), []byte("y")}, "binary": {file("\xff\xfe"), file("\xff")},
	} {
		t.Run(label, func(t *testing.T) {
			s := newStage(t)
			f := s.open(DefaultConfig())
			s.says(f, bodies...)
			if d, known, err := f.Diff(t.Context(), name(0)); err != nil || !known || len(d.Changes) != 0 || (d.Before == nil) != (len(bodies) == 1) {
				t.Errorf("%+v, %v", d, err)
			}
			d, _, err := f.Detail(t.Context(), name(0))
			if _, failed := json.Marshal(d); err != nil || failed != nil || d.Registration == nil {
				t.Errorf("%+v, %v, %v", d, err, failed)
			}
		})
	}
	f := newStage(t).open(DefaultConfig())
	if _, known, err := f.Diff(t.Context(), "nobody"); known || err != nil {
		t.Errorf("nobody: %v", err)
	}
	if _, known, err := f.Detail(t.Context(), "nobody"); known || err != nil {
		t.Errorf("nobody: %v", err)
	}
}

func TestDeepFactsEndSomewhere(t *testing.T) {
	deep := content{inventory: &choria.Inventory{Facts: json.RawMessage(strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000))}}
	if facts := deep.facts(); len(facts) != 1 {
		t.Errorf("%d facts", len(facts))
	}
}
