package appliance_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// keepAll configures a registration stream that deletes nothing.
const keepAll = "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n"

// readiness is the answer of /readyz.
type readiness struct {
	Ready   bool
	Reasons []struct{ Code, What, Detail string }

	Warnings []struct{ Code, What, Detail string }
}

// streamConfig returns the registration stream without limits.
func streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "CHORIA_REGISTRATION", Subjects: []string{"choria.node_metadata.>"}}
}

// newSite creates a site with certificates and tokens, and returns it with a configuration that
// trusts it, after the text.
func newSite(t *testing.T, text string) (*enroll.Site, string) {
	t.Helper()
	site, err := enroll.Init(enroll.Options{Dir: t.TempDir(), Name: "127.0.0.1", Issuer: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := site.Files()
	return site, text + fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n[broker.issuers]\nchoria = %q\n",
		files.Cert, files.Key, files.CA, site.IssuerKey())
}

// adminJetStream returns JetStream over a connection that uses the admin token.
func adminJetStream(t *testing.T, a *appliance.Appliance, site *enroll.Site) jetstream.JetStream {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(a.DataDir(), "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a, nats.Token(string(token)),
		nats.Secure(&tls.Config{RootCAs: site.Roots(), MinVersion: tls.VersionTLS12}))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// newAppliance returns an appliance that is not open.
func newAppliance(cfg *appliance.Config) *appliance.Appliance {
	return appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
}
