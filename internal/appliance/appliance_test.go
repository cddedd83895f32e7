package appliance_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestAppliance_StartsAndStopsAHundredTimesOnOneDirectory(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	cfg := testkit.Config(t, "")
	raw := testkit.Raw(t, "v1-mtls/registration-file.transport.json")
	for round := range rounds {
		a := newAppliance(cfg)
		if err := a.Open(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		nc, err := nats.Connect(a.BrokerAddress(), nats.NoReconnect())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		nc.Close()
		for range 2 {
			if err := a.Close(context.Background()); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		// The first message is stored. The others are duplicates of it, also after a restart,
		// until the duplicate window has passed.
		s := a.Stats()["registration"]
		if s.Received != 1 || s.Stored+s.Duplicate != 1 || round == 1 && s.Duplicate != 1 {
			t.Fatalf("round %d: %+v", round, s)
		}
	}
	a := testkit.Open(t, cfg)
	if n := len(testkit.Messages(t, testkit.JetStream(t, a), contract.StreamRegistration)); n < 1 {
		t.Errorf("%d messages are stored", n)
	}
}

func TestOpen_LeavesNothingBehindWhenItFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, edit := range map[string]func(*appliance.Config){
		"broker":  func(c *appliance.Config) { c.Broker.Listen = taken.Addr().String() },
		"console": func(c *appliance.Config) { c.Console.Listen = taken.Addr().String() },
		"data":    func(c *appliance.Config) { c.DataDir = "/dev/null/x" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testkit.Config(t, "")
			good := *cfg
			edit(cfg)
			if err := newAppliance(cfg).Open(t.Context()); err == nil {
				t.Fatal("the appliance started")
			}
			testkit.Open(t, &good) // the directory is unlocked; goleak finds the rest
		})
	}
}

func TestOpen_ReturnsErrorWhenContextIsDone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := newAppliance(testkit.Config(t, ""))
	if err := a.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v", err)
	}
}

func TestAppliance_RunsBesideAnotherInOneProcess(t *testing.T) {
	t.Parallel()
	a, b := testkit.Appliance(t, ""), testkit.Appliance(t, "")
	for _, one := range []*appliance.Appliance{a, b} {
		if status, _ := testkit.Get(t, one, "/readyz"); status != http.StatusOK {
			t.Errorf("%s: %d", one.ConsoleAddress(), status)
		}
	}
}

func TestAppliance_ServesNATSClients(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	one, two := testkit.Connect(t, a), testkit.Connect(t, a)
	sub, err := one.SubscribeSync("greetings.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := two.Publish("greetings.hello", []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(10 * time.Second); err != nil || string(m.Data) != "hi" {
		t.Errorf("have %v, %v", m, err)
	}
	if _, err := one.Subscribe("ask", func(m *nats.Msg) { _ = m.Respond([]byte("answer")) }); err != nil {
		t.Fatal(err)
	}
	_ = one.Flush()
	if m, err := two.Request("ask", nil, 10*time.Second); err != nil || string(m.Data) != "answer" {
		t.Errorf("have %v, %v", m, err)
	}
	js := testkit.JetStream(t, a)
	if _, err := js.Publish(t.Context(), "choria.submission.in.choria.executor.x", []byte("{}")); err != nil {
		t.Error(err)
	}
	if all := testkit.Messages(t, js, "CHORIA_EXECUTOR"); len(all) != 1 || string(all[0].Data()) != "{}" {
		t.Errorf("have %v", all)
	}
	kv, err := js.KeyValue(t.Context(), "CHORIA_LEADER_ELECTION")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "leader", []byte("me")); err != nil {
		t.Error(err)
	}
}

func TestAppliance_ServesTheEndpointsOfNATS(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	for path, want := range map[string]string{
		"/healthz": `"status": "ok"`, "/varz": `"server_name": "appliance.test"`, "/connz": `"connections"`,
		"/jsz?streams=true": contract.StreamRegistration,
		"/subsz":            `"num_subscriptions"`, "/routez": `"routes"`, "/leafz": `"leafs"`, "/gatewayz": `gateways`,
		"/accountz": `"choria"`,
		"/accstatz": `account_statz`, "/ipqueuesz": `{`,
	} {
		t.Run(path, func(t *testing.T) {
			status, body := testkit.Get(t, a, path)
			spaced := strings.ReplaceAll(body, `":"`, `": "`)
			if status != http.StatusOK || !strings.Contains(spaced, want) {
				t.Errorf("%d %.300s", status, body)
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		if status, _ := testkit.Get(t, a, "/nowhere"); status != http.StatusNotFound {
			t.Errorf("status %d", status)
		}
	})
}

func TestAppliance_BadConnectionsDoNotAffectNodes(t *testing.T) {
	incomplete := 1000 // connections that end in the middle of CONNECT
	if testing.Short() {
		incomplete = 100
	}
	a := testkit.Appliance(t, keepAll+"[broker]\nping_interval = '1s'\n")
	lost := make(chan error, 100)
	var nodes []*nats.Conn
	for n := range 20 {
		nodes = append(nodes, testkit.Connect(t, a, nats.Name(fmt.Sprintf("node%d", n)),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil {
					lost <- err
				}
			})))
	}
	sent := 0
	register := func() {
		for _, nc := range nodes {
			_, raw := testkit.Registration(t, "node", sent, 5000)
			if err := nc.Publish(testkit.Subject, raw); err != nil {
				t.Error(err)
			}
			sent++
		}
	}
	register()
	testkit.Settled(t, a, "registration", uint64(sent))
	goroutines, heap := runtime.NumGoroutine(), heapInUse()

	var bad []net.Conn
	dial := func(text string) {
		c, err := net.Dial("tcp", a.BrokerAddress())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		bad = append(bad, c)
	}
	for range incomplete {
		dial(`CONNECT {"verbose":false,"name":"hal`)
	}
	dial("CONNECT {}\r\nSUB > 1\r\n")                                      // never reads
	dial("CONNECT {}\r\nPUB " + testkit.Subject + " 100000\r\nfrozen her") // stops in the middle
	for range 30 {
		register()
	}
	testkit.Settled(t, a, "registration", uint64(sent))
	if s := a.Stats()["registration"]; s.Stored != uint64(sent) {
		t.Errorf("%d sent: %+v", sent, s)
	}
	for _, c := range bad {
		_ = c.Close()
	}
	wait.Eventually(t, func() error {
		if now := runtime.NumGoroutine(); now > goroutines+10 {
			return fmt.Errorf("%d goroutines, %d before", now, goroutines)
		}
		if now := heapInUse(); now > heap+32<<20 {
			return fmt.Errorf("%d MiB of heap, %d before", now>>20, heap>>20)
		}
		return nil
	})
	select {
	case err := <-lost:
		t.Errorf("a node lost its connection: %v", err)
	default:
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// TestAppliance_KeepsEachSendersOrderDuringARetry subscribes in place of a stream, so that it can
// refuse the first message three times.
func TestAppliance_KeepsEachSendersOrderDuringARetry(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "[stream.CHORIA_REGISTRATION]\nenabled = false\n")
	stream := testkit.Connect(t, a)
	var mu sync.Mutex
	var accepted []string
	refused := 0
	first := fmt.Sprintf("registration/web1/%032d", 0)
	if _, err := stream.Subscribe(contract.SubjectNodeMetadata+">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		id := m.Header.Get(contract.HeaderMsgID)
		if id == first && refused < 3 {
			refused++
			_ = m.Respond([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},` +
				`"stream":"S","seq":0}`))
			return
		}
		accepted = append(accepted, id)
		// A retry that is a duplicate means that an earlier attempt was stored.
		_ = m.Respond(fmt.Appendf(nil, `{"stream":"S","seq":%d,"duplicate":%v}`, len(accepted), refused > 0 && id == first))
	}); err != nil {
		t.Fatal(err)
	}
	if err := stream.Flush(); err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a)
	const each = 5
	for n := range each {
		for _, sender := range []string{"web1", "web2"} {
			_, raw := testkit.Registration(t, sender, n, 10)
			if err := nc.Publish(testkit.Subject, raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	testkit.Settled(t, a, "registration", 2*each)
	mu.Lock()
	defer mu.Unlock()
	s := a.Stats()["registration"]
	if refused != 3 || s.Retries != 3 {
		t.Fatalf("the stream refused %d times, the adapter retried %d times", refused, s.Retries)
	}
	if s.Stored != 2*each || s.Duplicate != 0 {
		t.Errorf("have %+v", s)
	}
	next := map[string]int{"web1": 0, "web2": 0}
	for at, id := range accepted {
		sender := id[len("registration/") : len("registration/")+4]
		if want := fmt.Sprintf("registration/%s/%032d", sender, next[sender]); id != want {
			t.Errorf("accepted message %d is %s, want %s", at, id, want)
		}
		next[sender]++
		if sender == "web1" && at < each {
			t.Errorf("web2 had to wait for web1: %v", accepted)
			break
		}
	}
}

func TestAppliance_VerifiesConnectionsAndMessages(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, keepAll+"[adapter.registration]\nbind_sender = false\n")
	a := testkit.Appliance(t, text)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	known := simnode.NodeOptions{Site: site, RSA: key}
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
	// A node with a valid connection publishes for others: unsigned or signed by an unknown
	// authority, and with its own credentials.
	liar := honest[0].Options(honest[0].Identity, site.Roots())
	for i := range 2 {
		unknown, err := simnode.NewNode(10+i, simnode.NodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		publish(unknown, liar)
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
	for _, m := range testkit.Messages(t, adminJetStream(t, a, site), contract.StreamRegistration) {
		verified[m.Headers().Get(contract.HeaderVerified)]++
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
	_, scrape = testkit.Get(t, a, "/choria/prometheus")
	for _, line := range []string{
		`choria_protocol_valid{version="1"} 2`, `choria_protocol_valid{version="2"} 2`,
		`choria_protocol_invalid{version="1"} 2`,
	} {
		if !strings.Contains(scrape, "\n"+line) {
			t.Errorf("/choria/prometheus lacks %s", line)
		}
	}
}

// TestAppliance_SendsNoAckToTheReplySubjectOfANode publishes with a reply subject that nodes may
// not publish to. The ack of the stream would be stored there as a registration.
func TestAppliance_SendsNoAckToTheReplySubjectOfANode(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, keepAll)
	a := testkit.Appliance(t, text)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		n, err := simnode.NewNode(i, simnode.NodeOptions{Site: site, RSA: key})
		if err != nil {
			t.Fatal(err)
		}
		nc := testkit.Connect(t, a, n.Options(n.Identity, site.Roots())...)
		for _, subject := range []string{
			"choria.lifecycle.event.alive.server", "choria.machine.transition", "choria.machine.watcher.exec.state",
			"mcollective.submission.in.x", "mcollective.reply.x", testkit.Subject,
		} {
			if err := nc.PublishRequest(subject, contract.SubjectNodeMetadata+"victim", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	js := adminJetStream(t, a, site)
	wait.Eventually(t, func() error { // the events are stored
		s, err := js.Stream(t.Context(), "CHORIA_MACHINE")
		if err != nil || s.CachedInfo().State.Msgs != 4 {
			return fmt.Errorf("not stored: %w", err)
		}
		return nil
	})
	s, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil || s.CachedInfo().State.Msgs != 0 {
		t.Errorf("%d messages among the registrations: %v", s.CachedInfo().State.Msgs, err)
	}
}
