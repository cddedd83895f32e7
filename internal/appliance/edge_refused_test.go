package appliance_test

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// An edge whose certificate has expired says so, and goes on with a new one without a restart.
func TestEdge_TheCertificateHasExpired(t *testing.T) {
	t.Parallel()
	ca, files := authority.New(t, time.Now()), t.TempDir()
	ca.Files(files, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, "edge-ams")
	p := newLinked(t, linkedOptions{authority: ca, files: files})
	stop := p.load(t, 50)
	wait.Eventually(t, func() error {
		if hub := p.edge.Forwards()[0]; hub.Connected || hub.Error == "" {
			return fmt.Errorf("%+v", hub)
		}
		return nil
	})
	t.Logf("refused: %s", p.edge.Forwards()[0].Error)
	ca.Files(files, nil, "edge-ams")
	p.awaitForwarded(t, 50)
	stop()
	p.compare(t)
}
