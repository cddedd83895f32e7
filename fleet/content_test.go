package fleet

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// bombs returns bodies of registrations that are small, but unpack to content that costs a recursive
// parser much memory.
func bombs(t *testing.T) [][]byte {
	objects := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	arrays := strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000)
	return [][]byte{
		fileBody(t, "/facts", strings.Repeat("[", 4<<20)),
		fileBody(t, "/facts", strings.Repeat("[", maxUnpacked)),
		fileBody(t, "/facts", objects),
		fileBody(t, "/facts", `{"a":`+arrays+`}`),
		inventoryBody(t, `{"classes":["base"],"facts":`+objects+`}`),
	}
}

// TestFleet_DeepContentCostsLittle limits the stack of every goroutine: exceeding it ends the process.
func TestFleet_DeepContentCostsLittle(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(8 << 20))
	cfg := DefaultConfig()
	cfg.Index = []string{"os.name", "a.a"}
	s := newFixture(t)
	bodies := bombs(t)
	f := s.open(cfg)
	for range 2 { // for a difference
		s.register(len(bodies), func(n int) []byte { return output(n, "1", bodies[n]) })
	}
	for _, when := range []string{"first", "after a restart"} {
		wait.Eventually(t, func() error {
			if s := f.Summary(); s.States[Up] != len(bodies) {
				return fmt.Errorf("%s: %v", when, s)
			}
			return nil
		})
		for n := range bodies {
			status, ok := f.Node(idOf(n))
			if !ok || len(status.Facts) != 0 {
				t.Errorf("%s: bomb %d has facts", when, n)
			}
			detail, ok, err := f.Detail(t.Context(), idOf(n))
			if err != nil || !ok || detail.Registration == nil || detail.Registration.Error == "" ||
				detail.Registration.Data != nil || detail.Registration.Text != "" {
				t.Errorf("%s: bomb %d: %v, %v", when, n, ok, err)
			}
			if d, ok, err := f.Diff(t.Context(), idOf(n)); err != nil || !ok || d.Before == nil || len(d.Changes) != 0 {
				t.Errorf("%s: bomb %d: difference %v, %v", when, n, ok, err)
			}
		}
		if lines := s.inventories(f, len(bodies)); strings.Count(lines, " -") != len(bodies)+1 {
			t.Errorf("%s: inventories:\n%.500s", when, lines)
		}
		if when == "first" {
			_ = f.Close(t.Context())
			f = s.open(cfg)
		}
	}
}

// TestContent_FactsLimitPaths has facts whose paths would be 100 times as long as the registration.
func TestContent_FactsLimitPaths(t *testing.T) {
	var members []string
	for n := range 1000 {
		members = append(members, fmt.Sprintf(`"m%d":1`, n))
	}
	facts := fmt.Sprintf(`{"%s":{%s},"z":{"y":2}}`, strings.Repeat("k", 100_000), strings.Join(members, ","))
	c := content{inventory: &choria.Inventory{Facts: json.RawMessage(facts)}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found := c.facts()
	runtime.ReadMemStats(&after)
	if len(found) != 2 || string(found["z.y"]) != "2" {
		t.Errorf("%d facts", len(found))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
		t.Errorf("%d MiB allocated", used>>20)
	}
}

func TestContent_FactsLimitTheirNumber(t *testing.T) {
	var members []string
	for n := range maxFacts {
		members = append(members, fmt.Sprintf(`"m%d":1`, n))
	}
	c := content{inventory: &choria.Inventory{
		Facts: json.RawMessage(`{"a":{"b":1},"m":{` + strings.Join(members, ",") + `}}`),
	}}
	if found := c.facts(); len(found) != 2 || string(found["a.b"]) != "1" || len(found["m"]) < maxFacts {
		t.Errorf("%d facts", len(found))
	}
}
