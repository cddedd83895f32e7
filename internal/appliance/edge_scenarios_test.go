package appliance_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/link"
	"github.com/muster-appliance/muster/internal/testkit/oracle"
	"github.com/muster-appliance/muster/internal/testkit/proxy"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// edgeStreams are the streams that the edges of these tests forward to streams of the same name.
var edgeStreams = []string{contract.StreamRegistration, "APP"}

// linked is a hub and an edge with a link between them, and what both stored.
type linked struct {
	hub, edge     *appliance.Appliance
	link          *link.Link
	proxy         *proxy.Proxy // in front of the hub, or nil
	server        string       // URL of the hub, as the edge names it
	connectHub    func() (*nats.Conn, error)
	atEdge, atHub []*oracle.Recorder // by edgeStreams
	rejects       *oracle.Recorder
}

// linkedOptions say how they are made.
type linkedOptions struct {
	hub, edge string // more configuration
	stream    string // more keys of the hub's streams
	forward   string // more keys of the edge's forwarder

	// With an authority, they are connected over TLS. files is the directory of the files of the edge.
	authority *authority.Authority
	files     string

	// With a proxy, the edge reaches the hub through it, and the link is between the edge and the proxy.
	proxy *proxy.Proxy

	webSocket bool // the edge connects over WebSocket
}

// newLinked runs a hub and an edge until the test ends. The hub remembers message ids for half a second only.
func newLinked(t *testing.T, o linkedOptions) *linked {
	t.Helper()
	if o.authority != nil {
		files := t.TempDir()
		o.authority.Files(files, nil, "hub.example.net", "localhost")
		o.hub += fmt.Sprintf("[broker.tls]\ncert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\nca = '%[1]s/ca.pem'\n", files)
		o.edge += fmt.Sprintf("[forward.hub.tls]\ncert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\nca = '%[1]s/ca.pem'\n",
			o.files)
	}
	if o.webSocket {
		o.hub += "[broker.websocket]\nlisten = '127.0.0.1:0'\n"
	}
	hub := testkit.Appliance(t, "site = 'hub'\n[broker.sites]\nams = 'edge-ams'\n"+
		"[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\nduplicate_window = '500ms'\n"+o.stream+
		"[stream.APP]\nsubjects = 'choria.sites.*.app.>'\nmax_msg_size = '32KiB'\nallow_direct = true\n"+
		"duplicate_window = '500ms'\n"+o.stream+o.hub)
	l, server := o.link(t, hub)
	edge := testkit.Appliance(t, fmt.Sprintf("site = 'ams'\n[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n"+
		"[stream.APP]\nsubjects = 'app.>'\n[forward.hub]\nservers = '%s'\nuser = 'edge-ams'\nheartbeat = '1s'\n"+
		o.forward+"[forward.hub.stream.CHORIA_REGISTRATION]\nmode = 'all'\ncatchup = 'all'\n[forward.hub.stream.APP]\n",
		server)+o.edge)
	p := &linked{
		hub: hub, edge: edge, link: l, proxy: o.proxy, server: server,
		rejects: recordStream(t, edge, "ams", contract.StreamRejected),
	}
	p.connectHub = func() (*nats.Conn, error) { return connectAdmin(hub, o.authority) }
	for _, stream := range edgeStreams {
		p.atEdge = append(p.atEdge, recordStream(t, edge, "ams", stream))
		p.atHub = append(p.atHub, oracle.Record("", stream, p.connectHub))
		t.Cleanup(p.atHub[len(p.atHub)-1].Stop)
	}
	return p
}

// link makes the link to a hub, and returns what the edge names as its server.
func (o *linkedOptions) link(t *testing.T, hub *appliance.Appliance) (l *link.Link, server string) {
	t.Helper()
	scheme, address := "nats", hub.BrokerAddress()
	if o.authority != nil {
		scheme = "tls"
	}
	if o.webSocket {
		scheme, address, _ = strings.Cut(hub.Listeners()["websocket"], "://")
	}
	target := address
	if o.proxy != nil {
		target = o.proxy.Address()
	}
	l, err := link.New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if o.proxy == nil {
		return l, scheme + "://" + l.Address()
	}
	o.forward += fmt.Sprintf("proxy = 'http://edge:secret@%s'\n", l.Address())
	return l, scheme + "://" + strings.Replace(address, "127.0.0.1", "localhost", 1) // a name, for the proxy to resolve
}

// connectAdmin connects to an appliance with administrator's rights.
func connectAdmin(a *appliance.Appliance, ca *authority.Authority) (*nats.Conn, error) {
	if ca == nil {
		return nats.Connect(a.BrokerAddress(), nats.NoReconnect())
	}
	token, err := os.ReadFile(filepath.Join(a.DataDir(), "admin.token"))
	if err != nil {
		return nil, err
	}
	secure := nats.Secure(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	return nats.Connect(a.BrokerAddress(), nats.Token(string(token)), secure, nats.NoReconnect())
}

// recordStream records a stream of an appliance until the test ends.
func recordStream(t *testing.T, a *appliance.Appliance, site, stream string) *oracle.Recorder {
	t.Helper()
	connect := func() (*nats.Conn, error) { return nats.Connect(a.BrokerAddress(), nats.NoReconnect()) }
	r := oracle.Record(site, stream, connect)
	t.Cleanup(r.Stop)
	return r
}

// recorded waits until everything that the streams store is recorded, and returns it. Lives of different streams
// differ.
func recorded(t *testing.T, recorders ...*oracle.Recorder) (all []oracle.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	for i, r := range recorders {
		if err := r.Await(ctx); err != nil {
			t.Fatal(err)
		}
		for _, m := range r.Messages() {
			m.Life = m.Life*len(recorders) + i
			all = append(all, m)
		}
	}
	return all
}

// check returns what is compared, once everything is recorded.
func (p *linked) check(t *testing.T) *oracle.Check {
	t.Helper()
	rejects := recorded(t, p.rejects)
	return &oracle.Check{
		Edges: recorded(t, p.atEdge...), Hub: recorded(t, p.atHub...),
		Foreign: func(m *oracle.Message) bool { return m.Site == "" },
		Excused: func(m *oracle.Message) bool {
			return slices.ContainsFunc(rejects, func(r oracle.Message) bool {
				return r.Header.Get(contract.HeaderSubject) == contract.SiteSubject(m.Site, m.Subject)
			})
		},
	}
}

// compare waits until everything is forwarded, and compares what both have.
func (p *linked) compare(t *testing.T) {
	t.Helper()
	check := p.check(t)
	wait.Eventually(t, func() error {
		check = p.check(t)
		if missing := check.Missing(); len(missing) > 0 {
			return fmt.Errorf("%d messages are missing at the hub, such as %s", len(missing), missing[0].ID())
		}
		return nil
	})
	drained(t, p.edge)
	for _, problem := range check.Problems() {
		t.Error(problem)
	}
	if len(check.Edges) == 0 {
		t.Error("the edge stored nothing")
	}
	t.Logf("%d messages at the edge, %d at the hub; %+v", len(check.Edges), len(check.Hub), p.link.Counts())
}

// load publishes registrations, and events of several senders on one subject, until the test ends or stop is called.
func (p *linked) load(t *testing.T, rate int) (stop func()) {
	t.Helper()
	registrations := testkit.StartLoad(t, p.edge.BrokerAddress(), testkit.LoadOptions{
		Connections: 2, Content: 500, Rate: rate,
	})
	nc, quit, done := testkit.Connect(t, p.edge), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-quit:
				return
			case <-time.After(time.Second / time.Duration(rate)):
			}
			_ = nc.Publish("app.events", fmt.Appendf(nil, `{"identity":"web%d","n":%d}`, n%3, n))
			_ = nc.Publish(fmt.Sprintf("app.%d", n%5), fmt.Appendf(nil, "%d", n))
		}
	}()
	return func() {
		close(quit)
		<-done
		sent := registrations.Stop()
		testkit.Settled(t, p.edge, "registration", uint64(len(sent)))
		_ = nc.Flush()
	}
}

// state returns how the edge forwards: whether it is connected, and the ledger of a stream.
func (p *linked) state(stream string) (connected bool, s uplink.Stream) {
	hub := p.edge.Forwards()[0]
	return hub.Connected, hub.Streams[stream]
}

// awaitConnected waits until the edge is connected, or is not, and returns how long that took.
func (p *linked) awaitConnected(t *testing.T, want bool) time.Duration {
	t.Helper()
	started := time.Now()
	wait.Eventually(t, func() error {
		if connected, _ := p.state("APP"); connected != want {
			return fmt.Errorf("connected: %v", connected)
		}
		return nil
	})
	return time.Since(started)
}

// awaitForwarded waits until so many messages of registrations more are forwarded, and returns how long that took.
func (p *linked) awaitForwarded(t *testing.T, more uint64) time.Duration {
	t.Helper()
	started := time.Now()
	_, before := p.state(contract.StreamRegistration)
	wait.Eventually(t, func() error {
		if _, s := p.state(contract.StreamRegistration); s.Forwarded+s.Duplicate < before.Forwarded+before.Duplicate+more {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return time.Since(started)
}

// The hub stores messages whose acks are lost, and has forgotten their ids when the edge publishes again.
func TestEdge_AcksLostForLongerThanTheDuplicateWindow(t *testing.T) {
	t.Parallel()
	p := newLinked(t, linkedOptions{})
	stop := p.load(t, 50)
	p.awaitForwarded(t, 50)
	p.link.Half(link.Down)
	p.awaitConnected(t, false)
	time.Sleep(600 * time.Millisecond)
	_, s := p.state(contract.StreamRegistration)
	if at := recorded(t, p.atHub[0]); uint64(len(at)) <= s.Forwarded {
		t.Errorf("the hub has %d messages, the edge knows of %d: no ack was lost", len(at), s.Forwarded)
	}
	p.link.Heal()
	p.awaitForwarded(t, 50)
	stop()
	p.compare(t)
}

func TestEdge_ASilentLinkIsNoticedAndDialedAgain(t *testing.T) {
	t.Parallel()
	p := newLinked(t, linkedOptions{})
	stop := p.load(t, 30) // few senders, each with one message on its way: what waits takes as long as the silence
	p.awaitForwarded(t, 50)
	p.link.Hole()
	noticed := p.awaitConnected(t, false)
	time.Sleep(time.Second)
	p.link.Heal()
	moves := p.awaitForwarded(t, 1)
	stop()
	p.compare(t)
	if p.link.Counts().Swallowed == [2]int64{} {
		t.Error("nothing was swallowed")
	}
	t.Logf("noticed after %s; moves %s after the return", noticed.Round(time.Millisecond), moves.Round(time.Millisecond))
	const notice, move = 5 * time.Second, 10 * time.Second // what is promised; twice that on a loaded machine
	if noticed > 2*notice || moves > 2*move {
		t.Errorf("noticed after %s; moves %s after the return", noticed, moves)
	}
}

// updateStream changes a stream of the hub.
func (p *linked) updateStream(t *testing.T, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	js := testkit.JetStream(t, p.hub)
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	change(&cfg)
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// awaitStalled waits until the edge says why messages of a stream are not forwarded.
func (p *linked) awaitStalled(t *testing.T, stream string) (why string) {
	t.Helper()
	wait.Eventually(t, func() error {
		_, s := p.state(stream)
		if why = s.Stalled; why == "" || s.Pending == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return why
}

func TestEdge_TheStreamOfTheHubIsFull(t *testing.T) {
	t.Parallel()
	p := newLinked(t, linkedOptions{stream: "max_bytes = '64KiB'\ndiscard = 'new'\n"})
	stop := p.load(t, 400)
	t.Logf("stalled: %s", p.awaitStalled(t, contract.StreamRegistration))
	_, before := p.state(contract.StreamRegistration)
	if before.Rejected > 0 {
		t.Errorf("%+v", before)
	}
	for _, name := range edgeStreams {
		p.updateStream(t, name, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 30 })
	}
	p.awaitForwarded(t, 50)
	stop()
	p.compare(t)
}

func TestEdge_TheStreamOfTheHubIsMissing(t *testing.T) {
	t.Parallel()
	p := newLinked(t, linkedOptions{})
	js := testkit.JetStream(t, p.hub)
	s, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), contract.StreamRegistration); err != nil {
		t.Fatal(err)
	}
	stop := p.load(t, 200)
	why := p.awaitStalled(t, contract.StreamRegistration)
	if !strings.Contains(why, contract.StreamRegistration) {
		t.Errorf("stalled: %s", why)
	}
	wait.Eventually(t, func() error { // the other stream goes on
		if _, app := p.state("APP"); app.Forwarded < 50 {
			return fmt.Errorf("%+v", app)
		}
		return nil
	})
	if _, err := js.CreateStream(t.Context(), s.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	p.awaitForwarded(t, 50)
	stop()
	p.compare(t)
}

// A message that the hub will never store is kept at the edge with the reason, and others go on.
func TestEdge_MessagesThatTheHubNeverStores(t *testing.T) {
	t.Parallel()
	via := func(site string) nats.Header { return nats.Header{contract.HeaderVia: {site}} }
	for name, c := range map[string]struct {
		message *nats.Msg
		reason  string
	}{
		"larger than a message of the stream may be": {
			&nats.Msg{Subject: "app.large", Data: make([]byte, 40<<10)}, contract.ReasonTooLarge},
		"larger than a message to the hub may be": {
			&nats.Msg{Subject: "app.huge", Data: make([]byte, 300<<10)}, contract.ReasonTooLarge},
		"it says that it was here before": {
			&nats.Msg{Subject: "app.here", Header: via("ams")}, contract.ReasonRefused},
		"it says that it was at the hub before": {
			&nats.Msg{Subject: "app.hub", Header: via("hub,fra")}, contract.ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLinked(t, linkedOptions{hub: "[broker]\nmax_payload = '256KiB'\n"})
			stop := p.load(t, 100)
			wait.Eventually(t, func() error { // the edge knows the site of the hub
				if p.edge.Forwards()[0].Site == "" {
					return errors.New("no heartbeat was answered")
				}
				return nil
			})
			if err := testkit.Connect(t, p.edge).PublishMsg(c.message); err != nil {
				t.Fatal(err)
			}
			wait.Eventually(t, func() error {
				_, s := p.state("APP")
				if s.Rejected != 1 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
			p.awaitForwarded(t, 50)
			stop()
			p.compare(t)
			rejects := recorded(t, p.rejects)
			if len(rejects) != 1 || !strings.HasSuffix(rejects[0].Subject, "."+c.reason) ||
				rejects[0].Header.Get(contract.HeaderReason) != c.reason || rejects[0].Header.Get(contract.HeaderDetail) == "" {
				t.Errorf("%+v", rejects)
			}
			if _, s := p.state("APP"); s.Rejected != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}
