package appliance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// keepAll is a registration stream that deletes nothing.
const keepAll = "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n"

func TestAStopUnderLoadLosesNothingUncounted(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	cfg := testkit.Config(t, keepAll)
	var inStream uint64
	for round := range rounds {
		a := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
		if err := a.Open(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		read := readByServer(t, a)
		flood := testkit.StartFlood(t, a.BrokerAddress(), testkit.FloodOptions{Connections: 4, FirstID: round * 1_000_000, Content: 3000})
		wait.Eventually(t, func() error {
			if n := flood.Published(); n < 1000 {
				return fmt.Errorf("%d published", n)
			}
			return nil
		})
		if err := a.Close(context.Background()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		flood.Stop()
		s := a.Stats()["registration"]
		if n := read(); n == 0 || s.Received < n {
			t.Errorf("round %d: the server had read %d messages, the ledger knows of %d", round, n, s.Received)
		}
		if !s.Balanced() || s.Pending != 0 || s.AllDropped() != 0 {
			t.Errorf("round %d: %+v", round, s)
		}
		inStream += s.Stored
	}
	a := testkit.Open(t, cfg)
	if keys := testkit.Keys(t, testkit.JetStream(t, a), "CHORIA_REGISTRATION"); uint64(len(keys)) != inStream {
		t.Errorf("%d stored by the ledgers, %d in the stream", inStream, len(keys))
	}
}

// readByServer adds up what the server says it had read from connections that ended. Its
// event tells this from the side of the client, as what was sent.
func readByServer(t *testing.T, a *appliance.Appliance) func() uint64 {
	t.Helper()
	nc, err := a.ConnectSystem()
	if err != nil {
		t.Fatal(err)
	}
	var total atomic.Uint64
	if _, err := nc.Subscribe("$SYS.ACCOUNT.choria.DISCONNECT", func(m *nats.Msg) {
		var event struct {
			Client struct{ Name string }
			Sent   struct{ Msgs uint64 }
		}
		if json.Unmarshal(m.Data, &event) == nil && strings.HasPrefix(event.Client.Name, "flood") {
			total.Add(event.Sent.Msgs)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() uint64 { nc.Close(); return total.Load() }
}

func TestMessagesAreHeldWhileTheStreamIsGoneOrFull(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text        string
		break_, fix func(t *testing.T, js jetstream.JetStream)
		detail      string
	}{
		"deleted": {
			text: keepAll,
			break_: func(t *testing.T, js jetstream.JetStream) {
				if err := js.DeleteStream(t.Context(), "CHORIA_REGISTRATION"); err != nil {
					t.Fatal(err)
				}
			},
			fix: func(t *testing.T, js jetstream.JetStream) {
				if _, err := js.CreateStream(t.Context(), streamConfig()); err != nil {
					t.Fatal(err)
				}
			},
			detail: "no stream takes the subject",
		},
		"full": {
			text:   keepAll + "discard = 'new'\n",
			break_: func(t *testing.T, js jetstream.JetStream) { limitMessages(t, js, 50) },
			fix:    func(t *testing.T, js jetstream.JetStream) { limitMessages(t, js, -1) },
			detail: "maximum messages exceeded (10077)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := testkit.Appliance(t, test.text)
			js := testkit.JetStream(t, a)
			nc := testkit.Connect(t, a)
			test.break_(t, js)
			const sent = 500
			for n := range sent {
				_, raw := testkit.Registration(t, fmt.Sprintf("web%d", n%7), n, 100)
				if err := nc.Publish(testkit.Subject, raw); err != nil {
					t.Fatal(err)
				}
			}
			wait.Eventually(t, func() error {
				var r readiness
				testkit.GetJSON(t, a, "/readyz", &r)
				if s := a.Stats()["registration"]; s.Received != sent || len(r.Reasons) != 1 ||
					r.Reasons[0].Code != "stream-unwritable" || r.Reasons[0].Detail != test.detail {
					return fmt.Errorf("%+v %+v", r, s)
				}
				return nil
			})
			held := a.Stats()["registration"]
			if held.Pending < sent-50 || held.AllDropped()+held.AllRejected() != 0 {
				t.Errorf("held: %+v", held)
			}
			test.fix(t, js)
			testkit.Settled(t, a, "registration", sent)
			if s := a.Stats()["registration"]; s.Stored != sent || s.Retries == 0 {
				t.Errorf("have %+v", s)
			}
			if keys := testkit.Keys(t, js, "CHORIA_REGISTRATION"); len(keys) != sent {
				t.Errorf("%d in the stream", len(keys))
			}
		})
	}
}

func limitMessages(t *testing.T, js jetstream.JetStream, most int64) {
	t.Helper()
	s, err := js.Stream(t.Context(), "CHORIA_REGISTRATION")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxMsgs = most
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestBadConnectionsDisturbNobody(t *testing.T) {
	half := 1000
	if testing.Short() {
		half = 100
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
	for range half {
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

// TestARetryLetsNobodyOvertake stands in for the stream, so that it can refuse just the
// first message, once.
func TestARetryLetsNobodyOvertake(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "[stream.CHORIA_REGISTRATION]\nenabled = false\n")
	stream := testkit.Connect(t, a)
	var mu sync.Mutex
	var accepted []string
	refused := 0
	if _, err := stream.Subscribe("choria.node_metadata.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		id := m.Header.Get("Nats-Msg-Id")
		if id == fmt.Sprintf("registration/web1/%032d", 0) && refused < 3 {
			refused++
			_ = m.Respond([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"S","seq":0}`))
			return
		}
		accepted = append(accepted, id)
		// That our own retry is a duplicate means that the first attempt was stored.
		_ = m.Respond(fmt.Appendf(nil, `{"stream":"S","seq":%d,"duplicate":%v}`, len(accepted), refused > 0 && id == fmt.Sprintf("registration/web1/%032d", 0)))
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
		t.Fatalf("the fault fired %d times", refused)
	}
	if s.Stored != 2*each || s.Duplicate != 0 {
		t.Errorf("have %+v", s)
	}
	next := map[string]int{"web1": 0, "web2": 0}
	for at, id := range accepted {
		sender := id[len("registration/") : len("registration/")+4]
		if want := fmt.Sprintf("registration/%s/%032d", sender, next[sender]); id != want {
			t.Errorf("number %d is %s, want %s", at, id, want)
		}
		next[sender]++
		if sender == "web1" && at < each {
			t.Errorf("web2 had to wait for web1: %v", accepted)
			break
		}
	}
}
