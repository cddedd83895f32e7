package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"syscall"
)

const (
	edgeName    = "collector1.ams.example.net"
	writeToken  = "0123456789abcdef0123456789abcdef"
	registered  = contract.SubjectNodeMetadata + "web1"
	amsMetadata = contract.SubjectSites + "ams." + registered
	bruMetadata = contract.SubjectSites + "bru." + registered
	directOfAms = directOfRegistrations + amsMetadata
	directOfBru = directOfRegistrations + bruMetadata

	directOfRegistrations = contract.PrefixAPI + "DIRECT.GET." + contract.StreamRegistration + "."
)

// openHub runs a site to which an edge forwards for ams and lon, and another one for bru. Its stream of registrations
// is private.
func openHub(t *testing.T, edit func(*Config)) *site {
	t.Helper()
	s := openSiteWith(t, func(_ *site, c *Config, o *Options) {
		c.Sites = Sites{"ams": edgeName, "lon": edgeName, "bru": "collector1.bru.example.net"}
		o.Private = append(o.Private, contract.SubjectSites+">")
		o.WriteToken = writeToken
		if edit != nil {
			edit(c)
		}
	})
	openEdges(t, s.broker)
	return s
}

func openEdges(t *testing.T, b *Broker) {
	t.Helper()
	if err := b.OpenEdges(contract.WritePrefix(writeToken)); err != nil {
		t.Fatal(err)
	}
	createRegistrations(t, b)
}

// createRegistrations makes the private stream of registrations.
func createRegistrations(t testing.TB, b *Broker) {
	t.Helper()
	prefix := contract.WritePrefix(writeToken)
	_, err := jetStreamOf(t, b).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: contract.StreamRegistration, AllowDirect: true,
		Subjects: []string{
			prefix + registered, prefix + contract.SubjectSites + "*." + contract.SubjectNodeMetadata + ">",
		},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: prefix + ">", Destination: ">"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// edge connects the edge of ams and lon with its certificate.
func (s *site) edge(t *testing.T, options ...nats.Option) *peer {
	t.Helper()
	return s.peer(t, append(options, s.certificate(edgeName))...)
}

func TestEdge_ForwardsAndReadsWhatItForwarded(t *testing.T) {
	t.Parallel()
	s := openHub(t, func(c *Config) { c.WebSocket.Listen = "127.0.0.1:0" })
	tokenEdge := s.withToken(s.node(edgeName))
	tokenClient := s.withToken(s.client("choria=edge"))
	s.broker.ReloadSites(Sites{"ams": edgeName, "tok": "choria=edge"})
	urls := map[string]string{"nats": "tls://" + s.broker.Address(), "websocket": s.websocketURL()}
	for name, c := range map[string]struct {
		site    string
		options []nats.Option
	}{
		"certificate":  {"ams", []nats.Option{s.certificate(edgeName)}},
		"node's token": {"ams", tokenEdge},
		"client's":     {"tok", tokenClient},
	} {
		for over, url := range urls {
			t.Run(over+"/"+name, func(t *testing.T) {
				nc, err := s.connectTo(url, c.options...)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				testForwarding(t, s.broker, nc, c.site, over+" "+name)
			})
		}
	}
}

// testForwarding lets an edge forward a message of a site, and read it back.
func testForwarding(t *testing.T, b *Broker, nc *nats.Conn, site, id string) {
	subject := contract.SiteSubject(site, registered)
	m := nats.NewMsg(subject)
	m.Data = []byte(id)
	m.Header = nats.Header{"Nats-Msg-Id": {id}, "Muster-Via": {"lab,ams"}, "Muster-Sender": {"web1"}}
	answer, err := nc.RequestMsg(m, wait.Limit)
	if err != nil || !strings.Contains(string(answer.Data), `"stream":"CHORIA_REGISTRATION","seq":`) {
		t.Fatalf("acked with %v: %v", answer, err)
	}
	last, err := nc.Request(directOfRegistrations+subject, nil, wait.Limit)
	if err != nil || string(last.Data) != id || last.Header.Get("Nats-Subject") != subject {
		t.Fatalf("Direct Get: %v: %v", last, err)
	}
	stream, err := jetStreamOf(t, b).Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := stream.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	for _, added := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"} { // by Direct Get
		stored.Header.Del(added)
	}
	if fmt.Sprint(stored.Header) != fmt.Sprint(m.Header) {
		t.Errorf("stored headers %v, want %v", stored.Header, m.Header)
	}
}

// TestEdge_SeesThatNothingStores requires the answer of NATS to a request without a subscriber.
func TestEdge_SeesThatNothingStores(t *testing.T) {
	t.Parallel()
	p := openHub(t, nil).edge(t)
	for _, subject := range []string{
		contract.SiteSubject("ams", "cmdb.x"), contract.PrefixAPI + "DIRECT.GET.MISSING." + amsMetadata,
	} {
		answer, err := p.nc.Request(subject, nil, wait.Limit)
		if !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s: %v %v, want no responders", subject, answer, err)
		}
	}
	if m, err := p.nc.Request(directOfAms, nil, wait.Limit); err != nil || m.Header.Get("Status") != "404" {
		t.Errorf("a subject without a message: %v %v", m, err)
	}
}

// TestEdge_IsNothingElse requires that an edge which would have other roles has only those of an edge.
func TestEdge_IsNothingElse(t *testing.T) {
	t.Parallel()
	s := openHub(t, func(c *Config) {
		c.Sites["root"] = "root.example.net"
		c.DenyServers = true
		c.ClientHosts = prefixes("192.0.2.0/24")
	})
	for _, options := range [][]nats.Option{
		{s.certificate(edgeName)}, {s.certificate("root.example.net")},
		{s.certificate("root.example.net"), nats.UserInfo("system", "secret")},
		s.withToken(s.client("root.example.net", "org_admin")),
	} {
		p := s.peer(t, options...)
		id, err := p.nc.GetClientID()
		if err != nil || s.broker.RoleOf(id) != RoleEdge {
			t.Fatalf("the role is %v: %v", s.broker.RoleOf(id), err)
		}
		p.mustNotPublish(bruMetadata, directOfBru, registered, "$SYS.REQ.USER.INFO", "$JS.API.STREAM.NAMES",
			"mcollective.broadcast.agent.rpcutil", "mcollective.broadcast.agent.registration", "_INBOX.x",
			"choria.lifecycle.event.startup.server", contract.WritePrefix(writeToken)+bruMetadata, contract.SubjectSites+"ams",
			contract.SubjectSites+">", contract.SubjectSites+"*.x")
		p.mustNotRead(map[string]string{
			">": "x.y", contract.SubjectSites + ">": amsMetadata, "$SYS.>": "$SYS.x", "$JS.EVENT.>": "$JS.EVENT.x",
			"mcollective.broadcast.agent.>": "mcollective.broadcast.agent.rpcutil", "_INBOX_*.>": "_INBOX_x.y", "_R_.>": "_R_.x",
		})
		if got, denied := p.reads("_INBOX.>", "_INBOX.x"); got || denied {
			t.Errorf("inboxes of others: got %v, denied %v", got, denied)
		}
	}
	list, err := s.broker.ListConnections()
	if err != nil || len(list) != 4 {
		t.Fatalf("%v: %v", list, err)
	}
	for _, c := range list {
		if c.Role != RoleEdge || len(s.broker.SitesOf(c.User)) == 0 {
			t.Errorf("listed as %+v", c)
		}
	}
}

// hostileReplies are reply subjects that would do harm in the account of the streams.
func hostileReplies() []string {
	write := contract.WritePrefix(writeToken)
	return []string{
		bruMetadata, registered, write + bruMetadata, write + registered, contract.SiteSubject("ams", "x"),
		"$JS.API.STREAM.DELETE." + contract.StreamRegistration, "$JS.API.STREAM.PURGE." + contract.StreamRegistration,
		"$JS.ACK." + contract.StreamRegistration + ".c.1.1.1.1.0", directOfBru, "$SYS.REQ.USER.INFO", "_INBOX.x", "_R_.x.y",
		"mcollective.broadcast.agent.registration", "mcollective.node.web1",
	}
}

// TestEdge_ReplySubjectsStayInItsAccount requires that no answer to an edge arrives anywhere else.
func TestEdge_ReplySubjectsStayInItsAccount(t *testing.T) {
	t.Parallel()
	s := openHub(t, nil)
	p := s.edge(t)
	if _, err := p.nc.Request(amsMetadata, []byte("stored"), wait.Limit); err != nil {
		t.Fatal(err)
	}
	witness, err := p.internalConn.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.internalConn.Flush(); err != nil {
		t.Fatal(err)
	}
	published := 0
	for _, reply := range hostileReplies() {
		for _, subject := range []string{amsMetadata, directOfAms} {
			if err := p.nc.PublishRequest(subject, reply, nil); err != nil {
				t.Fatal(err)
			}
		}
		published++
	}
	if err := p.nc.FlushTimeout(wait.Limit); err != nil {
		t.Fatal(err)
	}
	// The last answer, after which nothing else is on its way.
	if _, err := p.nc.Request(directOfAms, nil, wait.Limit); err != nil {
		t.Fatal(err)
	}
	if _, err := p.nc.Request(amsMetadata, []byte("end"), wait.Limit); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for {
		m, err := witness.NextMsg(wait.Limit)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(m.Subject, "_R_."), m.Subject == directOfAms:
		case m.Subject == contract.WritePrefix(writeToken)+amsMetadata:
			seen[m.Subject]++
		case m.Subject == contract.WritePrefix(writeToken)+contract.SiteSubject("ams", "x"): // the edge may publish there
		default:
			t.Errorf("%s arrived at %s", m.Data, m.Subject)
		}
		if string(m.Data) == "end" {
			break
		}
	}
	// Two replies are refused by NATS: those that begin with _R_ and $JS.ACK.
	if want := published - 2 + 1; seen[contract.WritePrefix(writeToken)+amsMetadata] != want {
		t.Errorf("seen %v, want %d", seen, want)
	}
	stream, err := jetStreamOf(t, s.broker).Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil || len(info.State.Subjects) != 1 || info.State.Subjects[amsMetadata] == 0 {
		t.Errorf("stored %v: %v", info.State.Subjects, err)
	}
}

// TestEdge_TracesDoNotShowTheWriteToken lets an edge trace its messages, and read the trace from where it may publish.
func TestEdge_TracesDoNotShowTheWriteToken(t *testing.T) {
	t.Parallel()
	s := openHub(t, nil)
	p := s.edge(t)
	m := nats.NewMsg(amsMetadata)
	trace := contract.SiteSubject("ams", contract.SubjectNodeMetadata+"trace")
	m.Header.Set("Nats-Trace-Dest", trace)
	if _, err := p.nc.RequestMsg(m, wait.Limit); err != nil {
		t.Fatal(err)
	}
	var answer *nats.Msg
	wait.Eventually(t, func() (err error) {
		answer, err = p.nc.Request(directOfRegistrations+trace, nil, wait.Limit)
		if err == nil && answer.Header.Get("Status") != "" {
			err = errors.New(answer.Header.Get("Status"))
		}
		return err
	})
	if text := string(answer.Data); !strings.Contains(text, `"type":"si"`) || strings.Contains(text, writeToken) {
		t.Errorf("the trace is %s", text)
	}
}

// TestEdge_LeavesNoResponsesBehind publishes with and without a stream, and with answers that nothing receives.
func TestEdge_LeavesNoResponsesBehind(t *testing.T) {
	t.Parallel()
	s := openHub(t, nil)
	p := s.edge(t)
	for i := range 10_000 {
		subject := amsMetadata
		if i%10 == 0 {
			subject = contract.SiteSubject("ams", "not.stored")
		}
		if err := p.nc.PublishRequest(subject, fmt.Sprintf("_INBOX.%d", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.nc.FlushTimeout(wait.Limit); err != nil {
		t.Fatal(err)
	}
	wantNoResponses(t, s.broker)
}

// TestEdge_ForgetsResponsesThatDoNotArrive publishes where something listens that does not answer.
func TestEdge_ForgetsResponsesThatDoNotArrive(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as answers may take")
	}
	t.Parallel()
	s := openHub(t, nil)
	p := s.edge(t)
	silent := contract.SiteSubject("ams", "silent")
	if _, err := p.internalConn.SubscribeSync(contract.WritePrefix(writeToken) + silent); err != nil {
		t.Fatal(err)
	}
	if err := p.internalConn.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := p.nc.PublishRequest(silent, "_INBOX.x", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.nc.FlushTimeout(wait.Limit); err != nil {
		t.Fatal(err)
	}
	if pendingResponses(t, s.broker) == 0 {
		t.Error("no response is awaited")
	}
	wantNoResponses(t, s.broker)
}

// pendingResponses returns how many answers to the edge of ams and lon the accounts wait for.
func pendingResponses(t *testing.T, b *Broker) (count int) {
	t.Helper()
	for _, name := range []string{account, forwardedAccount, edgeAccount(edgeName, []string{"ams", "lon"})} {
		acc, err := b.srv.LookupAccount(name)
		if err != nil {
			t.Fatal(err)
		}
		count += acc.NumPendingAllResponses() + acc.NumPendingReverseResponses()
	}
	return count
}

func wantNoResponses(t *testing.T, b *Broker) {
	t.Helper()
	wait.Eventually(t, func() error {
		if n := pendingResponses(t, b); n > 0 {
			return fmt.Errorf("%d responses are awaited", n)
		}
		return nil
	})
}

func TestBroker_ReloadSitesEndsConnectionsOfEdgesThatChanged(t *testing.T) {
	t.Parallel()
	s := openHub(t, nil)
	const other, node = "collector1.bru.example.net", "collector1.lon.example.net"
	changed, same, becomes := s.edge(t), s.peer(t, s.certificate(other)), s.peer(t, s.certificate(node))
	s.broker.ReloadSites(Sites{"ams": edgeName, "lon": node, "bru": other})
	for _, p := range []*peer{changed, becomes} {
		wait.Eventually(t, func() error {
			if p.nc.IsConnected() {
				return errors.New("still connected")
			}
			return nil
		})
	}
	if _, err := same.nc.Request(bruMetadata, nil, wait.Limit); err != nil {
		t.Error(err)
	}
	s.edge(t).mustNotPublish(contract.SiteSubject("lon", registered))
	p := s.peer(t, s.certificate(node))
	if _, err := p.nc.Request(contract.SiteSubject("lon", registered), nil, wait.Limit); err != nil {
		t.Error(err)
	}
	s.broker.ReloadSites(Sites{"bru": other})
	wait.Eventually(t, func() error {
		if p.nc.IsConnected() {
			return errors.New("still connected")
		}
		return nil
	})
	id, err := s.peer(t, s.certificate(node)).nc.GetClientID()
	if err != nil || s.broker.RoleOf(id) != RoleNode || s.broker.SitesOf(node) != nil {
		t.Errorf("role %v, sites %v: %v", s.broker.RoleOf(id), s.broker.SitesOf(node), err)
	}
}

// TestEdge_EndsItsOldestConnectionAtTheLimit requires that an edge whose dead connections are still open can connect.
func TestEdge_EndsItsOldestConnectionAtTheLimit(t *testing.T) {
	t.Parallel()
	s := openHub(t, func(c *Config) { c.MaxPerIdentity = 1 })
	var all []*peer
	for range minEdgeConnections {
		all = append(all, s.edge(t))
	}
	for _, p := range all {
		if err := p.nc.FlushTimeout(wait.Limit); err != nil {
			t.Fatal(err)
		}
	}
	s.edge(t)
	wait.Eventually(t, func() error {
		if all[0].nc.IsConnected() {
			return errors.New("the oldest connection is open")
		}
		return nil
	})
	if err := all[1].nc.FlushTimeout(wait.Limit); err != nil {
		t.Error(err)
	}
}

func TestEdge_InALabHasTheUserOfConnect(t *testing.T) {
	t.Parallel()
	cfg, o := DefaultConfig(), testOptions(t)
	cfg.Sites = Sites{"ams": edgeName}
	b := newBroker(t, cfg, o)
	open(t, b)
	openEdges(t, b)
	accept(t, b)
	connect := func(user string) *nats.Conn {
		nc, err := nats.Connect(b.Address(), nats.UserInfo(user, ""), nats.NoReconnect(),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	edge := connect(edgeName)
	if _, err := edge.Request(amsMetadata, []byte("x"), wait.Limit); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		nc   *nats.Conn
		role Role
	}{{edge, RoleEdge}, {connect("other"), RoleClient}} {
		if id, err := c.nc.GetClientID(); err != nil || b.RoleOf(id) != c.role {
			t.Errorf("role %v, want %v: %v", b.RoleOf(id), c.role, err)
		}
	}
	b.ReloadSites(Sites{"bru": edgeName})
	wait.Eventually(t, func() error {
		if edge.IsConnected() {
			return errors.New("still connected")
		}
		return nil
	})
}

// TestNodeAndClient_CannotPublishForSites requires that only edges forward.
func TestNodeAndClient_CannotPublishForSites(t *testing.T) {
	t.Parallel()
	s := openHub(t, func(c *Config) { c.Roles.Compatible = []string{"old*"} })
	claims := choria.ServerClaims("web1", []string{"choria"}, nil)
	claims.PubSubjects = []string{contract.SubjectSites + ">"}
	for name, options := range map[string][]nats.Option{
		"node":              {s.certificate("web1.example.net")},
		"compatible":        {s.certificate("old1.example.net")},
		"client":            {s.certificate("rip.mcollective")},
		"compatible client": {s.certificate("old.mcollective")},
		"node's token":      s.withToken(issue(t, claims, s.issuer, time.Now())),
		"client's token":    s.withToken(s.client("choria=x", "fleet_management", "streams_user")),
	} {
		t.Run(name, func(t *testing.T) {
			s.peer(t, options...).mustNotPublish(amsMetadata, contract.SiteSubject("ams", contract.SubjectHeartbeat),
				contract.WritePrefix(writeToken)+amsMetadata)
		})
	}
}

// BenchmarkEdge_Publish compares publishes of an edge with those of an administrator, 512 at a time.
func BenchmarkEdge_Publish(b *testing.B) {
	for _, name := range []string{"direct", "edge"} {
		b.Run(name, func(b *testing.B) {
			cfg, o := DefaultConfig(), Options{
				Name: "broker.test", StoreDir: b.TempDir(), Verifier: noTokens(), Now: time.Now, Log: hclog.NewNullLogger(),
			}
			cfg.Listen, cfg.Sites = "127.0.0.1:0", Sites{"ams": edgeName}
			hub := New(cfg, DefaultJetStream(), o)
			b.Cleanup(func() { _ = hub.Close(context.Background()) })
			prefix := contract.WritePrefix(writeToken)
			if err := errors.Join(hub.Open(b.Context()), hub.OpenEdges(prefix), hub.Accept()); err != nil {
				b.Fatal(err)
			}
			createRegistrations(b, hub)
			user, subject := edgeName, amsMetadata
			if name == "direct" {
				user, subject = "admin", prefix+amsMetadata
			}
			benchmarkPublish(b, hub, user, subject)
		})
	}
}

func benchmarkPublish(b *testing.B, hub *Broker, user, subject string) {
	nc, err := nats.Connect(hub.Address(), nats.UserInfo(user, ""))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(512))
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 4096)
	before := processorTime(b)
	b.ResetTimer()
	for b.Loop() {
		if _, err := js.PublishAsync(subject, data, jetstream.WithStallWait(wait.Limit)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// processorTime returns how much processor time the process has used: on a machine that does something else too, it
// says more than the time that has passed.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
