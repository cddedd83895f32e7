package appliance_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/link"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
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

// freePort returns an address of loopback that nothing listens to.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Two hubs that forward to each other store each message once: what came from the other one does not return.
func TestEdge_TwoHubsInACircle(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"with a fleet view": "", "without": "[fleet]\nenabled = false\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addresses, hubs := []string{freePort(t), freePort(t)}, []*appliance.Appliance{}
			for i, site := range []string{"left", "right"} {
				other := []string{"right", "left"}[i]
				cfg := testkit.Config(t, fmt.Sprintf("site = '%s'\n[broker.sites]\n%s = '%s'\n"+
					"[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n"+
					"[forward.hub]\nservers = ['nats://%s']\nuser = '%s'\nheartbeat = '1s'\n"+
					"[forward.hub.stream.CHORIA_REGISTRATION]\nmode = 'all'\ncatchup = 'all'\n%s",
					site, other, other, addresses[1-i], site, more))
				cfg.Broker.Listen = addresses[i]
				hubs = append(hubs, testkit.Open(t, cfg))
			}
			sent := [2]int{}
			for i, hub := range hubs {
				load := testkit.StartLoad(t, hub.BrokerAddress(), testkit.LoadOptions{Connections: 1, Content: 100, Rate: 100})
				wait.Eventually(t, func() error {
					if load.Published() < 50 {
						return fmt.Errorf("%d published", load.Published())
					}
					return nil
				})
				sent[i] = len(load.Stop())
			}
			for i, hub := range hubs {
				other := []string{"right", "left"}[i]
				wait.Eventually(t, func() error {
					own, foreign := registrationsOf(t, hub, other)
					if own != sent[i] || foreign != sent[1-i] {
						return fmt.Errorf("%d of %d, and %d of %d of the other one", own, sent[i], foreign, sent[1-i])
					}
					return nil
				})
			}
			for i, hub := range hubs { // nothing comes later
				drained(t, hub)
				own, foreign := registrationsOf(t, hub, []string{"right", "left"}[i])
				if own != sent[i] || foreign != sent[1-i] {
					t.Errorf("%d of %d, and %d of %d of the other one", own, sent[i], foreign, sent[1-i])
				}
			}
		})
	}
}

// registrationsOf counts the registrations that an appliance stores, its own and those of another site.
func registrationsOf(t *testing.T, a *appliance.Appliance, other string) (own, foreign int) {
	t.Helper()
	for _, m := range testkit.Messages(t, testkit.JetStream(t, a), contract.StreamRegistration) {
		switch site, _, forwarded := contract.CutSite(m.Subject()); {
		case !forwarded:
			own++
		case site == other:
			foreign++
		default:
			t.Errorf("%s came back", m.Subject())
		}
	}
	return own, foreign
}

// An edge of the edge, which the hub does not list, does not hold up what the edge itself forwards.
func TestEdge_ASiteThatTheHubDoesNotList(t *testing.T) {
	t.Parallel()
	p := newLinked(t, linkedOptions{forward: "window = 16\n", edge: "[broker.sites]\nsub = 'edge-sub'\n"})
	sub := testkit.Connect(t, p.edge, nats.UserInfo("edge-sub", ""))
	js, err := sub.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 600 { // more than may be read without an outcome
		subject := contract.SiteSubject("sub", fmt.Sprintf("%sweb%d", contract.SubjectNodeMetadata, n))
		if _, err := js.PublishAsync(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(wait.Limit):
		t.Fatal("the edge did not store what its edge forwards")
	}
	stop := p.load(t, 50)
	p.awaitForwarded(t, 50)
	stop()
	wait.Eventually(t, func() error {
		if _, s := p.state(contract.StreamRegistration); s.Rejected != 600 || s.Pending > 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// The stream at the hub has another name than the one at the edge, and the edge is restarted after acks were lost.
func TestEdge_ARestartWithAStreamOfAnotherNameAtTheHub(t *testing.T) {
	t.Parallel()
	hub := testkit.Appliance(t, "site = 'hub'\n[broker.sites]\nams = 'edge-ams'\n[stream.EVERYTHING]\n"+
		"subjects = 'choria.sites.*.app.>'\nallow_direct = true\nduplicate_window = '100ms'\n")
	l, err := link.New(hub.BrokerAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	cfg := testkit.Config(t, fmt.Sprintf("site = 'ams'\n[stream.APP]\nsubjects = 'app.>'\n[forward.hub]\n"+
		"servers = ['nats://%s']\nuser = 'edge-ams'\n[forward.hub.stream.APP]\n", l.Address()))
	edge := newAppliance(cfg)
	if err := edge.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish := func(a *appliance.Appliance) {
		nc := testkit.Connect(t, a)
		js, err := nc.JetStream()
		if err != nil {
			t.Fatal(err)
		}
		for n := range 50 {
			if _, err := js.Publish(fmt.Sprintf("app.%d", n), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := func(want uint64) {
		wait.Eventually(t, func() error {
			s, err := testkit.JetStream(t, hub).Stream(t.Context(), "EVERYTHING")
			if err != nil || s.CachedInfo().State.Msgs < want {
				return fmt.Errorf("%+v %w", s.CachedInfo().State, err)
			}
			return nil
		})
	}
	position := func(a *appliance.Appliance, want uint64) {
		wait.Eventually(t, func() error {
			if s := a.Forwards()[0].Streams["APP"]; s.Position < want {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	}
	publish(edge)
	position(edge, 50) // all acks have arrived: the next message of a sender does not wait
	l.Half(link.Down)
	publish(edge)
	stored(100) // the acks are lost
	if err := edge.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Heal()
	again := testkit.Open(t, cfg)
	position(again, 100)
	if n := len(testkit.Messages(t, testkit.JetStream(t, hub), "EVERYTHING")); n != 100 {
		t.Errorf("the hub stores %d messages, want 100", n)
	}
}
