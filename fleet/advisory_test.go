package fleet

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestFleet_PublishesAdvisories(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Advisories = true
	s := newFixture(t)
	s.open(cfg)
	waitFor := func(advisories int) {
		t.Helper()
		wait.Eventually(t, func() error {
			if n := s.messages(contract.StreamAdvisories); n != advisories {
				return fmt.Errorf("%d advisories, want %d", n, advisories)
			}
			return nil
		})
	}
	s.register(1, nil)
	waitFor(1)
	s.ahead.Add(int64(71 * time.Minute))
	waitFor(2)
	s.ahead.Add(int64(7 * 24 * time.Hour))
	waitFor(3)
	stream, err := s.js.Stream(t.Context(), contract.StreamAdvisories)
	if err != nil {
		t.Fatal(err)
	}
	for i, event := range []string{"new", "timeout", "expire"} {
		m, err := stream.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		var a ageAdvisory
		if err := json.Unmarshal(m.Data, &a); err != nil {
			t.Fatal(err)
		}
		if a.Event != event || a.Value != nodeName(0) || a.Protocol != "io.choria.sr.v2.age_advisory" ||
			a.Replicator != "ams" || a.InspectField != "sender" || a.EventID == "" || a.Seen == 0 || a.Timestamp == 0 {
			t.Errorf("%s: %s", event, m.Data)
		}
	}
}
