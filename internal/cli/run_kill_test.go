package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var killRounds = flag.Int("kill-rounds", 0, "how often an appliance is killed under load; 0: as often as fits")

// keepAll configures a registration stream that deletes nothing, with room for a thousand rounds.
const keepAll = "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\nmax_bytes = '9GiB'\n"

func TestRun_KilledUnderLoadLosesNothingStored(t *testing.T) {
	rounds := *killRounds
	switch {
	case rounds > 0:
	case long():
		rounds = 30
	case testing.Short():
		rounds = 2
	default:
		rounds = 10
	}
	config := labConfig(t, t.TempDir(), keepAll+recordOften+limitedStreams)
	var acknowledged, slowest uint64
	for round := range rounds {
		started := time.Now()
		p := startProcess(t, config)
		if ready := uint64(time.Since(started).Milliseconds()); ready > slowest {
			slowest = ready
		}
		if have := messages(t, p.broker, contract.StreamRegistration); have < acknowledged {
			t.Fatalf("round %d: %d messages were stored, %d are in the stream after the restart", round, acknowledged, have)
		}
		checkNoWarnings(t, p, round)
		publishToLimitedStreams(t, p.broker)
		base := messages(t, p.broker, contract.StreamRegistration)
		load := testkit.StartLoad(t, p.broker, testkit.LoadOptions{
			Connections: 4, FirstID: round * 1_000_000, Content: 500, // a thousand rounds fit the stream
		})
		stored, stop := scrape(p.console)
		time.Sleep(100*time.Millisecond + rand.N(300*time.Millisecond)) // the moment of the kill
		p.kill()
		stop()
		load.Stop()
		if stored.Load() == 0 {
			t.Logf("round %d: killed before anything was stored", round)
		}
		acknowledged = base + stored.Load()
	}
	p := startProcess(t, config)
	have := messages(t, p.broker, contract.StreamRegistration)
	if have < acknowledged || acknowledged == 0 {
		t.Errorf("%d messages were stored, %d are in the stream", acknowledged, have)
	}
	t.Logf("%d rounds: %d acknowledged at the last scrapes, %d in the stream, ready again after %d ms at most",
		rounds, acknowledged, have, slowest)
	var health struct{ Ready bool }
	getJSON(t, p.console+"/readyz", &health)
	if !health.Ready {
		t.Error("not ready after the last kill")
	}
	checkNoWarnings(t, p, rounds)
}

// limitedStreams configures streams that delete messages all the time, each because of another
// limit.
const limitedStreams = "" +
	"[stream.LIMITED_AGE]\nsubjects = 'limited.age.*'\nmax_age = '300ms'\nduplicate_window = '100ms'\n" +
	"[stream.LIMITED_MSGS]\nsubjects = 'limited.msgs.*'\nmax_msgs = 50\n" +
	"[stream.LIMITED_BYTES]\nsubjects = 'limited.bytes.*'\nmax_bytes = '64KiB'\n" +
	"[stream.LIMITED_SUBJECT]\nsubjects = 'limited.subject.*'\nmax_msgs_per_subject = 3\n" +
	"[stream.LIMITED_ALL]\nsubjects = 'limited.all.*'\nmax_msgs_per_subject = 3\nmax_msgs = 40\n" +
	"max_bytes = '32KiB'\nmax_age = '2s'\nduplicate_window = '1s'\n" +
	"[bucket.LIMITED]\nhistory = 2\n"

// publishToLimitedStreams publishes to the limited streams, purges one of them, and reads another one with a
// durable consumer, until the process is killed.
func publishToLimitedStreams(t *testing.T, broker string) {
	t.Helper()
	js := jetStream(t, broker)
	consumer, err := js.CreateOrUpdateConsumer(t.Context(), "LIMITED_SUBJECT", jetstream.ConsumerConfig{
		Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Consume(func(m jetstream.Msg) { _ = m.Ack() }); err != nil {
		t.Fatal(err)
	}
	nc := js.Conn()
	go func() {
		for n := 0; ; n++ {
			for _, name := range []string{"age", "msgs", "bytes", "subject", "all"} {
				data := make([]byte, rand.N(2000))
				if nc.Publish(fmt.Sprintf("limited.%s.%d", name, rand.N(20)), data) != nil {
					return
				}
			}
			if n%10 == 0 {
				_ = nc.PublishRequest("$JS.API.STREAM.PURGE.LIMITED_MSGS", nc.NewInbox(), nil)
			}
			if nc.Publish(fmt.Sprintf("$KV.LIMITED.%d", rand.N(20)), nil) != nil || nc.FlushTimeout(time.Second) != nil {
				return
			}
			time.Sleep(time.Millisecond) // leave the processor to the load of registrations
		}
	}()
}

// checkNoWarnings checks that nothing is reported as lost after a kill.
func checkNoWarnings(t *testing.T, p *process, round int) {
	t.Helper()
	var r console.Readiness
	getJSON(t, p.console+"/readyz", &r)
	if len(r.Warnings) > 0 {
		t.Fatalf("round %d: %+v\n%s", round, r.Warnings, p.log)
	}
}

// scrape reads /metrics until stop is called. Stored is the last count of stored messages that it read.
func scrape(console string) (stored *atomic.Uint64, stop func()) {
	stored = &atomic.Uint64{}
	quit, done := make(chan struct{}), make(chan struct{})
	line := regexp.MustCompile(`(?m)^muster_adapter_stored_total\{adapter="registration"\} (\S+)$`)
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			response, err := http.Get(console + "/metrics")
			if err != nil {
				time.Sleep(time.Millisecond)
				continue
			}
			text, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if m := line.FindSubmatch(text); err == nil && m != nil {
				n, _ := strconv.ParseFloat(string(m[1]), 64)
				stored.Store(uint64(n))
			}
		}
	}()
	return stored, func() { close(quit); <-done }
}

// messages returns the number of messages in a stream.
func messages(t *testing.T, broker, stream string) uint64 {
	t.Helper()
	s, err := jetStream(t, broker).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// jetStream returns JetStream over a new connection.
func jetStream(t *testing.T, broker string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(broker, nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// getJSON decodes what the URL answers.
func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func TestRun_TerminatedUnderLoadLogsTheLedgerLast(t *testing.T) {
	config := labConfig(t, t.TempDir(), keepAll)
	p := startProcess(t, config)
	load := testkit.StartLoad(t, p.broker, testkit.LoadOptions{Connections: 4, Content: 2000})
	wait.Eventually(t, func() error {
		if n := load.Published(); n < 1000 {
			return fmt.Errorf("%d published", n)
		}
		return nil
	})
	p.terminate(t)
	load.Stop()
	m := regexp.MustCompile(`stopped: adapter=registration received=(\d+) stored=(\d+) duplicate=0 rejected=0 ` +
		`dropped=0 balanced=true\n$`).FindStringSubmatch(p.log.String())
	if m == nil || m[1] != m[2] || p.cmd.ProcessState.ExitCode() != 0 {
		t.Fatalf("status %d\n%s", p.cmd.ProcessState.ExitCode(), p.log)
	}
	p = startProcess(t, config)
	if have := strconv.FormatUint(messages(t, p.broker, contract.StreamRegistration), 10); have != m[2] {
		t.Errorf("%s messages were stored, %s are in the stream after the restart", m[2], have)
	}
}

// TestRun_StoresAfterAnotherNATSIsKilledUnderLoad publishes the adapter's output to another
// appliance, which is killed and started again while nodes go on registering.
func TestRun_StoresAfterAnotherNATSIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes ten seconds of load")
	}
	other := labConfig(t, t.TempDir(), keepAll+"[adapter.registration]\nenabled = false\n")
	remote := startProcess(t, other)
	// The small buffer bounds what has to be stored once the load has ended.
	local := testkit.Appliance(t, fmt.Sprintf("[adapter.registration]\nbuffer = '8MiB'\n"+
		"[adapter.registration.stream]\nservers = [%q]\n", remote.broker))
	load := testkit.StartLoad(t, local.BrokerAddress(), testkit.LoadOptions{Connections: 4, Content: 1000, Rate: 2000})
	waitStored := func(n uint64) {
		t.Helper()
		wait.Eventually(t, func() error {
			if have := local.Stats()["registration"].Stored; have < n {
				return fmt.Errorf("%d of %d stored", have, n)
			}
			return nil
		})
	}
	waitStored(500)
	for range 2 {
		before := local.Stats()["registration"]
		remote.kill()
		wait.Eventually(t, func() error { // the adapter has retried since the kill
			if local.Stats()["registration"].Retries == before.Retries {
				return fmt.Errorf("no message was retried")
			}
			return nil
		})
		remote = startProcess(t, other)
		waitStored(local.Stats()["registration"].Stored + 500)
	}
	sent := load.Stop()
	testkit.Settled(t, local, "registration", uint64(len(sent)))
	s := local.Stats()["registration"]
	have := testkit.Keys(t, jetStream(t, remote.broker), contract.StreamRegistration)
	missing := 0
	for _, key := range sent {
		if !have[key] {
			missing++
		}
	}
	if uint64(missing) != s.AllDropped() || s.AllRejected() != 0 || len(have) != int(s.Stored) {
		t.Errorf("%d sent, %d in the stream, %d missing: %+v", len(sent), len(have), missing, s)
	}
	t.Logf("%d sent, %d stored, %d dropped because the buffer was full, %d retries",
		len(sent), s.Stored, s.AllDropped(), s.Retries)
}

func TestRun_ASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	// No stream takes what the adapter publishes, so after the first signal it waits for an outcome.
	p := startProcess(t, labConfig(t, t.TempDir(), "[stream.CHORIA_REGISTRATION]\nenabled = false\n"))
	nc, err := nats.Connect(p.broker)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, raw := testkit.Registration(t, "web1", 1, 10)
	if err := nc.Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if !strings.Contains(p.log.String(), "stopping") {
			return fmt.Errorf("the signal was not handled: %s", p.log)
		}
		return nil
	})
	select {
	case <-p.ended:
		t.Fatalf("it did not wait for the outcome of the message:\n%s", p.log)
	case <-time.After(time.Second):
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the second signal did not end the process")
	}
}

func TestRun_HangupAppliesTheLogLevelAndNamesOtherKeys(t *testing.T) {
	t.Parallel()
	config := labConfig(t, t.TempDir(), "")
	p := startProcess(t, config)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(more, want string) {
		t.Helper()
		if err := os.WriteFile(config, append(slices.Clone(text), more...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		wait.Eventually(t, func() error {
			if !strings.Contains(p.log.String(), want) {
				return fmt.Errorf("no %q in %s", want, p.log)
			}
			return nil
		})
	}
	reload("[log]\nlevel = 'debug'\n[jetstream]\nsync_interval = '2s'\n",
		"configuration reloaded: level=debug needs_restart=[\"jetstream.sync_interval\"]")
	reload("[broker.roles]\nadmin = 'x'\n", `configuration reloaded: level=info needs_restart=[]`)
	reload("[log]\nlevel = 'loud'\n", `configuration not reloaded: error=`)
	reload("", "configuration reloaded: level=info needs_restart=[]")
}
