package appliance_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Edges of a hub, and subjects at the hub.
const (
	amsEdge  = "collector1.ams"
	bruEdge  = "collector1.bru"
	edgeRows = "[broker.sites]\nams = 'collector1.ams'\nlon = 'collector1.ams'\nbru = 'collector1.bru'\n"

	ofAms     = contract.SubjectSites + "ams."
	ofBru     = contract.SubjectSites + "bru."
	web1OfAms = ofAms + contract.SubjectNodeMetadata + "web1"
	web1OfBru = ofBru + contract.SubjectNodeMetadata + "web1"
	directGet = contract.PrefixAPI + "DIRECT.GET." + contract.StreamRegistration + "."
)

// connectEdge connects an edge, with a token, without TLS. It records what the edge receives.
func connectEdge(t *testing.T, a *appliance.Appliance, site *enroll.Site, name string) *attacker {
	t.Helper()
	return connectEdgeTo(t, a.BrokerAddress(), site, name)
}

// connectEdgeTo connects an edge to a port of its hub.
func connectEdgeTo(t *testing.T, url string, site *enroll.Site, name string) *attacker {
	t.Helper()
	at := &attacker{inbox: "_INBOX.x", received: new(recorder)}
	claims := choria.ServerClaims(name, []string{"choria"}, nil)
	claims.OrgUnit = "choria"
	options := testkit.IssueToken(t, site, claims).Options(name, nil)
	var err error
	at.nc, err = nats.Connect(url, append(options, nats.SetCustomDialer(at.received),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(at.nc.Close)
	return at
}

// request sends a request of an edge, and returns the answer.
func (at *attacker) request(t *testing.T, subject, data string, header nats.Header) *nats.Msg {
	t.Helper()
	m, err := at.nc.RequestMsg(&nats.Msg{Subject: subject, Data: []byte(data), Header: header}, wait.Limit)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return m
}

// openEdgeHub runs a hub to which edges connect with tokens, without TLS.
func openEdgeHub(t *testing.T, text string) (
	a *appliance.Appliance, site *enroll.Site, log *logBuffer, closeHub func(),
) {
	t.Helper()
	site, _ = newSite(t, "")
	issuers := fmt.Sprintf("[broker.issuers]\nchoria = %q\n", site.IssuerKey())
	a, log, closeHub = reopen(t, t.TempDir(), text+edgeRows+issuers)
	return a, site, log, closeHub
}

// adminOf connects an administrator without TLS.
func adminOf(t *testing.T, a *appliance.Appliance) jetstream.JetStream {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(a.DataDir(), "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(testkit.Connect(t, a, nats.Token(string(token))))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestHub_StoresWhatAnEdgeForwards(t *testing.T) {
	t.Parallel()
	a, site, _, _ := openEdgeHub(t, "")
	at := connectEdge(t, a, site, amsEdge)
	header := nats.Header{"Nats-Msg-Id": {"ams/x"}, contract.HeaderVia: {"ams"}, contract.HeaderSender: {"web1"}}
	ack := at.request(t, web1OfAms, "facts", header)
	if string(ack.Data) != `{"stream":"CHORIA_REGISTRATION","seq":1}` {
		t.Errorf("acked with %s", ack.Data)
	}
	if ack := at.request(t, web1OfAms, "facts", header); !strings.Contains(string(ack.Data), `"duplicate": true`) {
		t.Errorf("acked again with %s", ack.Data)
	}
	last := at.request(t, directGet+web1OfAms, "", nil)
	if string(last.Data) != "facts" || last.Header.Get(contract.HeaderVia) != "ams" ||
		last.Header.Get("Nats-Subject") != web1OfAms {
		t.Errorf("the last message is %s with %v", last.Data, last.Header)
	}
	event := ofAms + contract.SubjectFleetNode + "up.web1"
	ack = at.request(t, event, "{}", nil)
	if !strings.Contains(string(ack.Data), contract.StreamFleet) {
		t.Errorf("acked with %s", ack.Data)
	}
	subject := contract.PrefixAPI + "DIRECT.GET." + contract.StreamFleet + "." + event
	if last := at.request(t, subject, "", nil); string(last.Data) != "{}" {
		t.Errorf("the last event is %s with %v", last.Data, last.Header)
	}
	messages := testkit.Messages(t, adminOf(t, a), contract.StreamRegistration)
	if len(messages) != 1 || fmt.Sprint(messages[0].Headers()) != fmt.Sprint(header) {
		t.Errorf("stored %v, want the headers %v", messages, header)
	}
}

// TestHub_StreamsAreAsDeclaredAfterARestart adds the first site to an appliance with streams, and removes it again.
func TestHub_StreamsAreAsDeclaredAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, step := range []struct {
		text     string
		subjects int
	}{{"", 1}, {edgeRows, 2}, {edgeRows, 2}, {"", 1}} {
		a, _, closeAppliance := reopen(t, dir, keepAll+step.text)
		register(t, a, fmt.Sprintf("web%d", step.subjects), 1)
		answer := struct {
			Streams []jsconfig.StreamInfo
			Changes []jsconfig.Change
		}{}
		if status := testkit.GetJSON(t, a, "/api/v1/streams", &answer); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		if len(answer.Changes) > 0 {
			t.Errorf("with %q: the plan is %v", step.text, answer.Changes)
		}
		for _, s := range answer.Streams {
			extended := s.Config.Name == contract.StreamRegistration || s.Config.Name == contract.StreamFleet
			if extended && len(s.Config.Subjects) != step.subjects {
				t.Errorf("with %q: %s stores %v", step.text, s.Config.Name, s.Config.Subjects)
			}
		}
		closeAppliance()
	}
	a, _, _ := reopen(t, dir, keepAll+edgeRows)
	for _, subject := range rawConfig(t, a, contract.StreamRegistration).Subjects {
		if !strings.HasPrefix(subject, writePrefix(t, a)) {
			t.Errorf("the stream listens to %s", subject)
		}
	}
	wantMessages(t, testkit.JetStream(t, a), contract.StreamRegistration, 4)
}

// edgeTargets are reply subjects that would do harm if an answer to an edge arrived there in the account of the
// streams.
func edgeTargets(token string) []string {
	write := contract.WritePrefix(token)
	return []string{
		web1OfBru, contract.SubjectNodeMetadata + "web1", contract.SubjectFleetNode + "down.web1", write + web1OfBru,
		write + contract.SubjectNodeMetadata + "web1", ofBru + contract.SubjectHeartbeat, directGet + web1OfBru,
		"$JS.API.STREAM.DELETE." + contract.StreamFleet, "$JS.API.STREAM.PURGE." + contract.StreamRegistration,
		"muster.api.STREAM.DELETE." + contract.StreamFleet, "muster.raw.STREAM.DELETE." + contract.StreamFleet,
		"$JS.ACK.CHORIA_REGISTRATION.cmdb.1.1.1.1.0", "$JS.API.CONSUMER.MSG.NEXT.CHORIA_REGISTRATION.cmdb",
		"$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING", "_R_.x.y", "_INBOX.other", "choria.broadcast.agent.registration",
		"choria.node.web1", "choria.lifecycle.event.shutdown.server", "muster.admin.accept-loss.CHORIA_REGISTRATION",
	}
}

// witness is an administrator that subscribes to everything in the account of the streams.
type witness struct {
	js  jetstream.JetStream
	sub *nats.Subscription
}

func newWitness(t *testing.T, a *appliance.Appliance) *witness {
	t.Helper()
	js := adminOf(t, a)
	sub, err := js.Conn().SubscribeSync(">")
	if err == nil {
		err = errors.Join(sub.SetPendingLimits(-1, -1), js.Conn().Flush())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &witness{js, sub}
}

// seen returns the subjects of what has arrived, without those of the appliance and the server.
func (w *witness) seen(t *testing.T) (subjects []string) {
	t.Helper()
	flush(t, w.js.Conn())
	for {
		m, err := w.sub.NextMsg(0)
		if err != nil {
			return subjects
		}
		ignored := func(prefix string) bool { return strings.HasPrefix(m.Subject, prefix) }
		if !slices.ContainsFunc([]string{"$JS.EVENT.", "_INBOX_", "_INBOX.", "_R_."}, ignored) {
			subjects = append(subjects, m.Subject)
		}
	}
}

// TestHub_AHostileEdgeReachesItsSitesOnly lets an edge do what it may not. What it does for its own site arrives, so
// that the witness is known to see what arrives.
func TestHub_AHostileEdgeReachesItsSitesOnly(t *testing.T) {
	t.Parallel()
	t.Run("TCP", func(t *testing.T) { testHostileEdge(t, (*appliance.Appliance).BrokerAddress) })
	t.Run("WebSocket", func(t *testing.T) {
		testHostileEdge(t, func(a *appliance.Appliance) string { return a.Listeners()["websocket"] })
	})
}

// testHostileEdge lets an edge connect to the port at a URL, which address returns.
func testHostileEdge(t *testing.T, address func(*appliance.Appliance) (url string)) {
	t.Parallel()
	a, site, _, _ := openEdgeHub(t, "[fleet]\nenabled = false\n[stream.MUSTER_AUDIT]\nenabled = false\n"+
		"[broker.websocket]\nlisten = '127.0.0.1:0'\n")
	token := writeToken(t, a)
	at, victim := connectEdgeTo(t, address(a), site, amsEdge), connectEdge(t, a, site, bruEdge)
	victim.request(t, web1OfBru, "of bru", nil)
	at.request(t, web1OfAms, "of ams", nil)
	received, err := victim.nc.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, victim.nc)
	w := newWitness(t, a)
	refused := refusedPublishes(t, a)

	at.subscribeEverything(t)
	forbidden := 0
	for _, subject := range append(edgeTargets(token), edgeTargets(strings.Repeat("0", 32))...) {
		for _, reply := range []string{"", "_INBOX.x", web1OfBru} {
			if err := at.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte("forged")}); err != nil {
				t.Fatal(err)
			}
			forbidden++
		}
	}
	for _, operation := range apiRequests(contract.StreamRegistration, web1OfBru) {
		for _, prefix := range apiPrefixes {
			if err := at.nc.PublishRequest(prefix+operation.operation, web1OfBru, []byte(operation.data)); err != nil {
				t.Fatal(err)
			}
			forbidden++
		}
	}
	flush(t, at.nc)
	if have := refusedPublishes(t, a) - refused; have != forbidden {
		t.Errorf("%d publishes are counted as refused, want %d", have, forbidden)
	}
	if seen := w.seen(t); len(seen) > 0 {
		t.Errorf("what it published has arrived at %v", seen)
	}
	at.hostileReplies(t, append(edgeTargets(token), edgeTargets("x")...))
	write := contract.WritePrefix(token)
	for _, subject := range w.seen(t) {
		if !strings.HasPrefix(subject, write+ofAms) && !strings.HasPrefix(subject, directGet+ofAms) {
			t.Errorf("something has arrived at %s", subject)
		}
	}
	flush(t, victim.nc)
	if m, err := received.NextMsg(0); err == nil {
		t.Errorf("another edge has received %q on %s", m.Data, m.Subject)
	}
	for _, m := range testkit.Messages(t, w.js, contract.StreamRegistration) {
		if m.Subject() != web1OfAms && string(m.Data()) != "of bru" {
			t.Errorf("%s is stored on %s", m.Data(), m.Subject())
		}
	}
	wantMessages(t, w.js, contract.StreamFleet, 0)
}

// TestHub_AnEdgeDoesNotLearnTheWriteToken asks for everything that may show it to an edge: errors, answers and traces.
func TestHub_AnEdgeDoesNotLearnTheWriteToken(t *testing.T) {
	t.Parallel()
	a, site, log, closeHub := openEdgeHub(t, "")
	token := writeToken(t, a)
	at := connectEdge(t, a, site, amsEdge)
	if _, err := at.nc.Request(ofAms+"not.stored", nil, wait.Limit); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("no stream: %v", err)
	}
	trace := ofAms + contract.SubjectNodeMetadata + "trace"
	for _, only := range []string{"false", "true"} {
		m := nats.NewMsg(web1OfAms)
		m.Header = nats.Header{"Nats-Trace-Dest": {trace}, "Nats-Trace-Only": {only}, "Nats-Msg-Id": {"x"}}
		if err := at.nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	at.request(t, web1OfAms, "", nats.Header{"Nats-Expected-Stream": {"x"}})
	wait.Eventually(t, func() error {
		m, err := at.nc.Request(directGet+trace, nil, wait.Limit)
		if err == nil && m.Header.Get("Status") != "" {
			err = errors.New("the trace is not stored: " + m.Header.Get("Status"))
		}
		return err
	})
	at.request(t, directGet+ofAms+"missing", "", nil)
	at.request(t, directGet+web1OfAms, `{"seq":1}`, nil)
	at.subscribeEverything(t)
	at.hostileReplies(t, edgeTargets(strings.Repeat("0", 32)))
	for _, operation := range apiRequests(contract.StreamRegistration, web1OfBru) {
		if err := at.nc.PublishRequest(contract.PrefixAPI+operation.operation, "_INBOX.x", nil); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, at.nc)
	for _, text := range []string{"ermission", "NATS/1.0 503", "NATS/1.0 404", `"type":"si"`, `"error":`} {
		if !at.received.contains(text) {
			t.Errorf("the edge has not received %q", text)
		}
	}
	if at.received.contains(token) {
		t.Errorf("the edge has received the token: %q", at.received.around(token))
	}
	wantPagesWithoutToken(t, a, token)
	closeHub()
	if strings.Contains(log.String(), token) {
		t.Error("the log has the token")
	}
}

// hostileReplies publishes to what the edge may, with the targets as reply subjects.
func (at *attacker) hostileReplies(t *testing.T, targets []string) {
	t.Helper()
	own := []string{web1OfAms, directGet + web1OfAms, directGet + ofAms + "missing", ofAms + "not.stored"}
	for _, target := range targets {
		for _, subject := range own {
			for _, data := range []string{"", "+NXT"} {
				if err := at.nc.PublishRequest(subject, target, []byte(data)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	at.request(t, web1OfAms, "", nil) // the answers to all others have left before that to this one
	at.request(t, directGet+web1OfAms, "", nil)
}

// wantPagesWithoutToken requires that the pages of NATS show the accounts of edges without the write token.
func wantPagesWithoutToken(t *testing.T, a *appliance.Appliance, token string) {
	t.Helper()
	account := edgeAccountOf(t, a)
	for _, path := range []string{
		"/connz?subs=detail&auth=1&state=all", "/subsz?subs=1&limit=10000", "/accountz?acc=" + account,
		"/accountz?acc=forwarded", "/accountz?acc=choria", "/accstatz?unused=1", "/api/v1/rejected",
	} {
		status, page := testkit.Get(t, a, path)
		if strings.Contains(page, token) || status != http.StatusOK {
			t.Errorf("%s has the token: %v; status %d", path, strings.Contains(page, token), status)
		}
	}
	if _, page := testkit.Get(t, a, "/accountz?acc="+account); !strings.Contains(page, ofAms) {
		t.Errorf("the page of the account lacks its imports: %s", page)
	}
}

// edgeAccountOf returns the account of the edge of ams.
func edgeAccountOf(t *testing.T, a *appliance.Appliance) string {
	t.Helper()
	var page struct {
		Connections []struct {
			Account string `json:"account"`
			User    string `json:"authorized_user"`
		} `json:"connections"`
	}
	testkit.GetJSON(t, a, "/connz?auth=1", &page)
	for _, c := range page.Connections {
		if c.User == amsEdge {
			return c.Account
		}
	}
	t.Fatalf("no connection of the edge in %v", page)
	return ""
}

// refusedPublishes returns how many publishes were refused for lack of permission.
func refusedPublishes(t *testing.T, a *appliance.Appliance) int {
	t.Helper()
	_, page := testkit.Get(t, a, "/metrics")
	_, rest, _ := strings.Cut(page, `muster_broker_permission_violations_total{kind="publish"} `)
	n := 0
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReload_AppliesSites adds a site on SIGHUP, and removes all.
func TestReload_AppliesSites(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "site = 'hub'\n[broker.sites]\nams = 'collector1.ams'\n")
	a := testkit.Open(t, cfg)
	connect := func() *nats.Conn {
		return testkit.Connect(t, a, nats.UserInfo(amsEdge, ""), nats.NoReconnect(),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	}
	ended := func(nc *nats.Conn) {
		t.Helper()
		wait.Eventually(t, func() error {
			if nc.IsConnected() {
				return errors.New("the connection is open")
			}
			return nil
		})
	}
	nc, lon := connect(), contract.SubjectSites+"lon."+contract.SubjectNodeMetadata+"web1"
	if _, err := nc.Request(web1OfAms, nil, wait.Limit); err != nil {
		t.Fatal(err)
	}
	a.Reload(testkit.Config(t, "site = 'hub'\n[broker.sites]\nams = 'collector1.ams'\nlon = 'collector1.ams'\n"))
	ended(nc)
	nc = connect()
	for _, subject := range []string{web1OfAms, lon} {
		if _, err := nc.Request(subject, nil, wait.Limit); err != nil {
			t.Error(err)
		}
	}
	a.Reload(testkit.Config(t, "site = 'hub'\n"))
	ended(nc)
	wantMessages(t, testkit.JetStream(t, a), contract.StreamRegistration, 3)
}
