package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// Connections that end at once. If the end were handled before the beginning, the node would stay
// connected.
func TestFleet_KeepsTheOrderOfConnectAndDisconnectEvents(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	const nodes = 2000
	for n := range nodes {
		s.publishConnection("CONNECT", n)
		s.publishConnection("DISCONNECT", n)
	}
	s.publishConnection("CONNECT", nodes)
	wait.Eventually(t, func() (err error) {
		f.withRegistry(func(r *registry, _ time.Time) {
			if open := r.open(); len(open) != 1 || r.connections[nodeName(nodes)] == nil {
				err = fmt.Errorf("%d connections are open", len(open))
			}
		})
		return err
	})
}
