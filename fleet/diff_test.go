package fleet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

func TestFleet_DiffListsChanges(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	s.registerNode0(f,
		inventoryBody(t, `{"classes":["older"],"agents":[],"facts":{}}`),
		inventoryBody(t, `{"classes":["base","web"],"agents":[{"name":"rpcutil"}],
			"facts":{"os":{"name":"Debian","release":{"major":"12"}},"cores":4,"uptime":5,"memory":{"used":1},
			"disks":["sda"],"gone":true,"empty":{}}}`),
		inventoryBody(t, `{"classes":["base","db"],"agents":[{"name":"rpcutil"},{"name":"puppet"}],
			"facts":{"os":{"name":"Debian","release":{"major":"13"}},"cores":4,"uptime":9,"memory":{"used":2},
			"disks":[ "sda", "sdb" ],"new":null,"empty":{}}}`),
	)
	d, ok, err := f.Diff(t.Context(), idOf(0))
	if err != nil || !ok || d.Before == nil || d.Now == nil || d.Now.Sequence != 3 || d.Before.Sequence != 2 ||
		d.Volatile != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	var got []string
	for _, c := range d.Changes {
		got = append(got, fmt.Sprintf("%s %s %s %s→%s", c.Kind, c.Name, c.Change, c.Before, c.Now))
	}
	want := []string{
		`fact disks changed ["sda"]→["sda","sdb"]`, `fact gone removed true→`, `fact new added →null`,
		`fact os.release.major changed "12"→"13"`,
		`class db added →`, `class web removed →`, `agent puppet added →`,
	}
	// An inventory may or may not be compacted on its way.
	text := strings.ReplaceAll(strings.Join(got, "\n"), `[ "sda", "sdb" ]`, `["sda","sdb"]`)
	if text != strings.Join(want, "\n") {
		t.Errorf("changes:\n%s", text)
	}
	detail, _, err := f.Detail(t.Context(), idOf(0))
	if err != nil || detail.Registration == nil || detail.Registration.Kind != choria.ContentInventory ||
		!strings.Contains(string(detail.Registration.Data), `"db"`) || detail.Registrations[0].Sequence != 3 ||
		detail.Registrations[2].Sequence != 1 || detail.Registrations[0].Bytes == 0 {
		t.Errorf("%+v, %v", detail, err)
	}
}

func TestFleet_DiffFindsRegistrationBeforeLongSilence(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	s.registerNode0(f, inventoryBody(t, `{"facts":{"cores":4}}`), inventoryBody(t, `{"facts":{"cores":8}}`))
	f.withRegistry(func(r *registry, _ time.Time) { // as if both were stored many intervals ago
		n := r.nodes[nodeName(0)]
		n.Received, n.gaps = n.Received.Add(time.Hour), gapsOf(time.Minute)
	})
	if d, _, err := f.Diff(t.Context(), idOf(0)); err != nil || d.Before == nil || len(d.Changes) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestFleet_DiffWithoutFactsHasNoChanges(t *testing.T) {
	file := func(text string) []byte { return fileBody(t, "/f", text) }
	for label, bodies := range map[string][][]byte{
		"one registration": {file(`{"a":1}`)},
		"text":             {file("one"), file("two")},
		"equal JSON":       {file(`{"a":{"b":1}}`), file(` {"a" : {"b":1} }`)},
		"not a body":       {[]byte("x"), []byte("y")},
		"binary":           {file("\xff\xfe"), file("\xff")},
	} {
		t.Run(label, func(t *testing.T) {
			s := newFixture(t)
			f := s.open(DefaultConfig())
			s.registerNode0(f, bodies...)
			d, ok, err := f.Diff(t.Context(), idOf(0))
			if err != nil || !ok || len(d.Changes) != 0 || (d.Before == nil) != (len(bodies) == 1) {
				t.Errorf("%+v, %v", d, err)
			}
			detail, _, err := f.Detail(t.Context(), idOf(0))
			if _, failed := json.Marshal(detail); err != nil || failed != nil || detail.Registration == nil {
				t.Errorf("%+v, %v, %v", detail, err, failed)
			}
		})
	}
	t.Run("unknown node", func(t *testing.T) {
		f := newFixture(t).open(DefaultConfig())
		if _, ok, err := f.Diff(t.Context(), NodeID{Name: "unknown"}); ok || err != nil {
			t.Errorf("diff: %v", err)
		}
		if _, ok, err := f.Detail(t.Context(), NodeID{Name: "unknown"}); ok || err != nil {
			t.Errorf("detail: %v", err)
		}
	})
}

func TestFactsOf_LimitsDepth(t *testing.T) {
	facts := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	deep := choria.StoredContent{Inventory: &choria.Inventory{Facts: json.RawMessage(facts)}}
	if facts := factsOf(deep); len(facts) != 1 {
		t.Errorf("%d facts", len(facts))
	}
}

// TestFactsOf_LimitsPaths has facts whose paths would be 100 times as long as the registration.
func TestFactsOf_LimitsPaths(t *testing.T) {
	var members []string
	for n := range 1000 {
		members = append(members, fmt.Sprintf(`"m%d":1`, n))
	}
	facts := fmt.Sprintf(`{"%s":{%s},"z":{"y":2}}`, strings.Repeat("k", 100_000), strings.Join(members, ","))
	c := choria.StoredContent{Inventory: &choria.Inventory{Facts: json.RawMessage(facts)}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found := factsOf(c)
	runtime.ReadMemStats(&after)
	if len(found) != 2 || string(found["z.y"]) != "2" {
		t.Errorf("%d facts", len(found))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
		t.Errorf("%d MiB allocated", used>>20)
	}
}

func TestFactsOf_LimitsTheirNumber(t *testing.T) {
	var members []string
	for n := range maxFacts {
		members = append(members, fmt.Sprintf(`"m%d":1`, n))
	}
	c := choria.StoredContent{Inventory: &choria.Inventory{
		Facts: json.RawMessage(`{"a":{"b":1},"m":{` + strings.Join(members, ",") + `}}`),
	}}
	if found := factsOf(c); len(found) != 2 || string(found["a.b"]) != "1" || len(found["m"]) < maxFacts {
		t.Errorf("%d facts", len(found))
	}
}

// randomFacts returns an object with few names and values, so that two of them often have the same facts.
func randomFacts(r *rand.Rand, depth int) map[string]any {
	facts := map[string]any{}
	for _, name := range []string{"os", "uptime", "load"} {
		switch n := r.IntN(6); {
		case n < 2 && depth > 0:
			facts[name] = randomFacts(r, depth-1)
		case n < 5:
			facts[name] = n % 2
		}
	}
	return facts
}

// TestDiff_AgreesWithDigest compares facts in two ways: the fleet view lists what changed, and a forwarder leaves out
// registrations with the same digest.
func TestDiff_AgreesWithDigest(t *testing.T) {
	volatile := choria.Volatile{"uptime", "os.load", "load.os.uptime"}
	r := rand.New(rand.NewPCG(1, 2))
	equal := 0
	for range 20_000 {
		var contents [2]choria.StoredContent
		var digests [2][32]byte
		for i := range contents {
			text, err := json.Marshal(randomFacts(r, 2))
			if err != nil {
				t.Fatal(err)
			}
			if contents[i], err = choria.UnpackStored(choria.ContentFile, text); err != nil {
				t.Fatal(err)
			}
			if digests[i], err = choria.Digest(choria.ContentFile, text, volatile); err != nil {
				t.Fatal(err)
			}
		}
		changed := slices.ContainsFunc(compare(contents[0], contents[1]), func(c Change) bool {
			return !volatile.Contains(c.Name)
		})
		if changed == (digests[0] == digests[1]) {
			t.Fatalf("changed is %v:\n%s\n%s", changed, contents[0].Data, contents[1].Data)
		}
		if !changed {
			equal++
		}
	}
	if equal < 100 {
		t.Errorf("only %d pairs were equal", equal)
	}
}
