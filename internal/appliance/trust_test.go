package appliance_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// trusting is an appliance with a site of its own: certificates and tokens.
func trusting(t *testing.T, text string) (*enroll.Site, string) {
	t.Helper()
	site, err := enroll.Init(enroll.Options{Dir: t.TempDir(), Name: "127.0.0.1", Issuer: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := site.Files()
	return site, text + fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n[broker.issuers]\nchoria = %q\n",
		files.Cert, files.Key, files.CA, site.IssuerKey())
}

// adminStream is JetStream for who may read the appliance's data directory.
func adminStream(t *testing.T, a *appliance.Appliance, site *enroll.Site) jetstream.JetStream {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(a.DataDir(), "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a, nats.Token(string(token)), nats.Secure(&tls.Config{RootCAs: site.Roots(), MinVersion: tls.VersionTLS12}))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestNodesProveWhoTheyAreAllTheWay(t *testing.T) {
	t.Parallel()
	site, text := trusting(t, keepAll)
	a := testkit.Appliance(t, text)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	known := simnode.Kind{Site: site, RSA: key}
	var honest []*simnode.Node
	for i := range 4 { // two of each protocol
		n, err := simnode.NewNode(i, known)
		if err != nil {
			t.Fatal(err)
		}
		honest = append(honest, n)
	}
	publish := func(n *simnode.Node, connection []nats.Option) {
		t.Helper()
		nc := testkit.Connect(t, a, connection...)
		_, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range honest {
		publish(n, n.Options(n.Identity, site.Roots()))
	}
	// A node that is let in speaks for others: with nothing, and with its own proof.
	liar := honest[0].Options(honest[0].Identity, site.Roots())
	for i := range 2 {
		nobody, err := simnode.NewNode(10+i, simnode.Kind{})
		if err != nil {
			t.Fatal(err)
		}
		publish(nobody, liar)
		stolen, err := simnode.NewNode(20+i, known)
		if err != nil {
			t.Fatal(err)
		}
		stolen.Credentials = honest[i].Credentials
		publish(stolen, liar)
	}
	testkit.Settled(t, a, "registration", 8)
	s := a.Stats()["registration"]
	if s.Stored != 4 || s.Rejected["unsigned"] != 1 || s.Rejected["untrusted"] != 1 || s.Rejected["wrong-name"] != 2 {
		t.Errorf("have %+v", s)
	}
	verified := map[string]int{}
	for _, m := range testkit.Messages(t, adminStream(t, a, site), "CHORIA_REGISTRATION") {
		verified[m.Headers().Get("Muster-Verified")]++
	}
	if verified[choria.VerifiedX509] != 2 || verified[choria.VerifiedJWT] != 2 {
		t.Errorf("have %v", verified)
	}
	_, scrape := testkit.Get(t, a, "/metrics")
	for _, line := range []string{
		`muster_adapter_rejected_total{adapter="registration",reason="wrong-name"} 2`,
		`muster_broker_refused_total{reason="untrusted"} 0`,
		"muster_broker_certificate_days 1",
	} {
		if !strings.Contains(scrape, "\n"+line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	_, theirs := testkit.Get(t, a, "/choria/prometheus")
	for _, line := range []string{`choria_protocol_valid{version="1"} 2`, `choria_protocol_valid{version="2"} 2`, `choria_protocol_invalid{version="1"} 2`} {
		if !strings.Contains(theirs, "\n"+line) {
			t.Errorf("/choria/prometheus lacks %s", line)
		}
	}
}

// TestEventsAreNotAcknowledgedOnBehalfOfANode publishes with a reply subject that nodes may
// not publish to: the stream's acknowledgement would go there.
func TestEventsAreNotAcknowledgedOnBehalfOfANode(t *testing.T) {
	t.Parallel()
	site, text := trusting(t, keepAll)
	a := testkit.Appliance(t, text)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		n, err := simnode.NewNode(i, simnode.Kind{Site: site, RSA: key})
		if err != nil {
			t.Fatal(err)
		}
		nc := testkit.Connect(t, a, n.Options(n.Identity, site.Roots())...)
		for _, subject := range []string{"choria.lifecycle.event.alive.server", "choria.machine.transition", "choria.machine.watcher.exec.state",
			"mcollective.submission.in.x", "mcollective.reply.x", testkit.Subject} {
			if err := nc.PublishRequest(subject, "choria.node_metadata.victim", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	js := adminStream(t, a, site)
	wait.Eventually(t, func() error { // the events are stored
		s, err := js.Stream(t.Context(), "CHORIA_MACHINE")
		if err != nil || s.CachedInfo().State.Msgs != 4 {
			return fmt.Errorf("not stored: %v", err)
		}
		return nil
	})
	s, err := js.Stream(t.Context(), "CHORIA_REGISTRATION")
	if err != nil || s.CachedInfo().State.Msgs != 0 {
		t.Errorf("%d messages among the registrations: %v", s.CachedInfo().State.Msgs, err)
	}
}
