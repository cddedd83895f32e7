package appliance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestStartAndStopAHundredTimesOnOneDirectory(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	cfg := testkit.Config(t, "")
	raw := testkit.Raw(t, "v1-mtls/registration-file.transport.json")
	for round := range rounds {
		a := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
		if err := a.Open(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		nc, err := nats.Connect(a.BrokerAddress(), nats.NoReconnect())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := nc.Publish("mcollective.broadcast.agent.registration", raw); err != nil {
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
		// The first is stored, and the others are duplicates of it also after a restart,
		// until the duplicate window is over.
		s := a.Stats()["registration"]
		if s.Received != 1 || s.Stored+s.Duplicate != 1 || round == 1 && s.Duplicate != 1 {
			t.Fatalf("round %d: %+v", round, s)
		}
	}
	a := testkit.Open(t, cfg)
	if n := len(testkit.Messages(t, testkit.JetStream(t, a), "CHORIA_REGISTRATION")); n < 1 {
		t.Errorf("%d messages are stored", n)
	}
}

func TestASecondApplianceOnADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "")
	testkit.Open(t, cfg)
	second := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
	err := second.Open(t.Context())
	want := fmt.Sprintf("data_dir: %s is in use by another appliance, process %d", cfg.DataDir, os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("have %v, want %s", err, want)
	}
}

func TestAFailedStartLeavesNothingBehind(t *testing.T) {
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
		cfg := testkit.Config(t, "")
		good := *cfg
		edit(cfg)
		if err := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()}).Open(t.Context()); err == nil {
			t.Errorf("%s: started", name)
			continue
		}
		testkit.Open(t, &good) // the directory is free again; goleak sees the rest
	}
}

func TestNATSClientsFindAnOrdinaryServer(t *testing.T) {
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
	if _, err := js.Publish(t.Context(), "choria.node_metadata.web1", []byte("{}")); err != nil {
		t.Error(err)
	}
	if all := testkit.Messages(t, js, "CHORIA_REGISTRATION"); len(all) != 1 || string(all[0].Data()) != "{}" {
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

// readiness is what /readyz answers.
type readiness struct {
	Ready   bool
	Reasons []struct{ Code, What, Detail string }
}

func TestReadyzSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	var r readiness
	if status := testkit.GetJSON(t, a, "/readyz", &r); status != http.StatusOK || !r.Ready || len(r.Reasons) != 0 {
		t.Fatalf("%d %+v", status, r)
	}
	js := testkit.JetStream(t, a)
	if err := js.DeleteStream(t.Context(), "CHORIA_REGISTRATION"); err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a)
	if err := nc.Publish("mcollective.broadcast.agent.registration", testkit.Raw(t, "v1-mtls/registration-file.transport.json")); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		r = readiness{}
		status := testkit.GetJSON(t, a, "/readyz", &r)
		if status != http.StatusServiceUnavailable || r.Ready || len(r.Reasons) != 1 ||
			r.Reasons[0].Code != "stream-unwritable" || r.Reasons[0].What != "CHORIA_REGISTRATION" {
			return fmt.Errorf("%d %+v", status, r)
		}
		return nil
	})
	if _, err := js.CreateStream(t.Context(), streamConfig()); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	if status, body := testkit.Get(t, a, "/readyz"); status != http.StatusOK || body != `{"ready":true,"reasons":[]}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
}

func TestNATSsOwnPagesAreThere(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	for path, want := range map[string]string{
		"/healthz": `"status": "ok"`, "/varz": `"server_name": "appliance.test"`, "/connz": `"connections"`, "/jsz?streams=true": `CHORIA_REGISTRATION`,
		"/subsz": `"num_subscriptions"`, "/routez": `"routes"`, "/leafz": `"leafs"`, "/gatewayz": `gateways`, "/accountz": `"choria"`,
		"/accstatz": `account_statz`, "/ipqueuesz": `{`,
	} {
		status, body := testkit.Get(t, a, path)
		if compact := strings.ReplaceAll(body, `":"`, `": "`); status != http.StatusOK || !strings.Contains(compact, want) {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
	}
	if status, _ := testkit.Get(t, a, "/nowhere"); status != http.StatusNotFound {
		t.Errorf("a page that is not there answers %d", status)
	}
}

func TestTwoAppliancesRunInOneProcess(t *testing.T) {
	t.Parallel()
	a, b := testkit.Appliance(t, ""), testkit.Appliance(t, "")
	for _, one := range []*appliance.Appliance{a, b} {
		if status, _ := testkit.Get(t, one, "/readyz"); status != http.StatusOK {
			t.Errorf("%s: %d", one.ConsoleAddress(), status)
		}
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := appliance.New(testkit.Config(t, ""), appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
	if err := a.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v", err)
	}
}

func streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "CHORIA_REGISTRATION", Subjects: []string{"choria.node_metadata.>"}}
}

func TestAnApplianceStartsBesideAStreamThatTakesItsSubjects(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "[stream.OLD]\nsubjects = 'mine.>'\n")
	first := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
	if err := first.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	renamed := testkit.Config(t, "[stream.NEW]\nsubjects = 'mine.>'\n")
	renamed.DataDir = cfg.DataDir
	var log bytes.Buffer
	a := appliance.New(renamed, appliance.Options{Version: "test", Log: hclog.New(&hclog.LoggerOptions{Output: &log})})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	js := testkit.JetStream(t, a)
	if _, err := js.Stream(t.Context(), "OLD"); err != nil {
		t.Errorf("the old stream is gone: %v", err)
	}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if want := `\"mine.>\" of existing stream OLD, which is not declared; remove that one (nats stream rm OLD)`; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, &log)
	}
}
