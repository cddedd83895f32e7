package fleet

import (
	"fmt"
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
		fileBody(t, "/facts", strings.Repeat("[", choria.MaxContent)),
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
