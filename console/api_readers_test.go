package console

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// countedReaders counts how many calls read registrations at the same time; each waits for release.
type countedReaders struct {
	twoNodes
	now, most atomic.Int64
	release   chan struct{}
}

func (c *countedReaders) read() {
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
		continue
	}
	<-c.release
	c.now.Add(-1)
}

func (c *countedReaders) Detail(ctx context.Context, id fleet.NodeID) (fleet.Detail, bool, error) {
	c.read()
	return c.twoNodes.Detail(ctx, id)
}

func (c *countedReaders) Diff(ctx context.Context, id fleet.NodeID) (fleet.Diff, bool, error) {
	c.read()
	return c.twoNodes.Diff(ctx, id)
}

func (c *countedReaders) Inventories(
	ctx context.Context, nodes []fleet.NodeID, take func(fleet.NodeID, *choria.Inventory) error,
) error {
	c.read()
	return c.twoNodes.Inventories(ctx, nodes, take)
}

func TestAPI_FewAnswersReadRegistrationsAtOnce(t *testing.T) {
	c := &countedReaders{release: make(chan struct{})}
	h := newHandler(Options{Fleet: c, Sites: c, Registrations: c, Events: c})
	var wg sync.WaitGroup
	for range maxReaders + 2 {
		for _, path := range []string{"/api/v1/nodes/web1", "/api/v1/nodes/web1/diff", "/api/v1/nodes?format=inventory"} {
			wg.Go(func() {
				if w := request(h, http.MethodGet, path); w.Code != http.StatusOK {
					t.Errorf("%s: %d", path, w.Code)
				}
			})
		}
	}
	wait.Eventually(t, func() error {
		if n := c.now.Load(); n < maxReaders {
			return fmt.Errorf("%d answers read registrations", n)
		}
		return nil
	})
	timeout := time.After(wait.Limit)
	for range 3 * (maxReaders + 2) {
		select {
		case c.release <- struct{}{}:
		case <-timeout:
			t.Fatal("no further answer reads")
		}
	}
	wg.Wait()
	if most := c.most.Load(); most > maxReaders {
		t.Errorf("%d answers read registrations at the same time", most)
	}
}
