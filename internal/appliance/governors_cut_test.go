package appliance_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// TestGovernors_LeakNoSlot has ten nodes run a thousand jobs under a governor of two slots, while their connections
// are cut and the appliance is restarted: at no time do more than two jobs run, and no entry stays.
func TestGovernors_LeakNoSlot(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "")
	cfg := testkit.Config(t, text)
	a := newAppliance(cfg)
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(context.Background()) }()
	cfg.Broker.Listen = a.BrokerAddress() // nodes find the next one there
	admin := adminJetStream(t, a, site).Conn()
	want(t, admin, "$JS.API.STREAM.CREATE.GOVERNOR_G1", testkit.CreateGovernor, "")
	admin.Close()

	var nodes []*testkit.Governed
	for i := range 10 {
		nodes = append(nodes, newGovernorNode(t, a, site, fmt.Sprintf("n%d.example.net", i)))
	}
	jobs := new(testkit.Jobs)
	cuts := jobs.RunCut(nodes, 100, func() {
		for range 3 {
			for range 10 {
				next := jobs.Done.Load() + 20
				wait.Eventually(t, func() error {
					if done := jobs.Done.Load(); done < next {
						return fmt.Errorf("%d of %d jobs are done", done, next)
					}
					return nil
				})
			}
			if err := a.Close(context.Background()); err != nil {
				t.Error(err)
			}
			a = newAppliance(cfg)
			if err := a.Open(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	jobs.Check(t, cuts)
	wantEntries(t, adminJetStream(t, a, site).Conn(), 0)
}
