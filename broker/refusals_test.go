package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
)

func TestRefusals_LoggedOnceAMinuteAndAlwaysCounted(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	log := &syncBuffer{}
	table := rejected.New()
	r := newRefusals(hclog.New(&hclog.LoggerOptions{Output: log}), table, func() time.Time { return now })
	for range 100 {
		r.countRefusal(fmt.Errorf("%w: token: unknown issuer", choria.ErrUntrusted), "10.0.0.1", "web1")
		now = now.Add(100 * time.Millisecond)
	}
	r.countRefusal(errProvisioning, "10.0.0.2", "")
	if lines := strings.Count(log.String(), "\n"); lines != 2 {
		t.Errorf("have\n%s", log)
	}
	now = now.Add(time.Minute)
	r.countRefusal(choria.ErrUntrusted, "10.0.0.3", "web3")
	for _, want := range []string{
		`reason=untrusted address=10.0.0.1 name=web1 count=1 error="token: unknown issuer"`,
		"reason=provisioning address=10.0.0.2", "provisioning is off",
		"reason=untrusted address=10.0.0.3 name=web3 count=100",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if counts := r.snapshot(); counts["untrusted"] != 101 || counts["provisioning"] != 1 {
		t.Errorf("have %v", counts)
	}
	entries, _ := table.Entries()
	if len(entries) != 3 {
		t.Fatalf("the table has %+v", entries)
	}
	if e := entries[2]; e.Name != "web1" || e.Count != 100 || e.Detail != "token: unknown issuer" {
		t.Errorf("the table has %+v", e)
	}
	e := entries[1]
	if e.Address != "10.0.0.2" || e.Reason != "provisioning" || !strings.HasPrefix(e.Detail, "provisioning is off") {
		t.Errorf("the table has %+v", e)
	}
}
