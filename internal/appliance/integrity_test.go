package appliance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

// recordOften makes the appliance record its streams several times a second; with the race detector once a second,
// because the server has a data race if the first sync of a stream begins while the stream is created.
var recordOften = "[jetstream]\nsync_interval = '20ms'\n"

// warningsOf returns the warnings of /readyz, which must answer 200.
func warningsOf(t *testing.T, a *appliance.Appliance) []console.Reason {
	t.Helper()
	var r console.Readiness
	if status := testkit.GetJSON(t, a, "/readyz", &r); status != http.StatusOK || !r.Ready || r.Warnings == nil {
		t.Fatalf("%d %+v", status, r)
	}
	return r.Warnings
}

// registerAndWait stores registrations and waits until they are recorded.
func registerAndWait(t *testing.T, a *appliance.Appliance, first, n int) {
	t.Helper()
	nc := testkit.Connect(t, a)
	for i := range n {
		_, raw := testkit.Registration(t, "web1", first+i, 100)
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	wait.Eventually(t, func() error {
		if last := a.Recorded(contract.StreamRegistration); last < uint64(first+n) {
			return fmt.Errorf("%d recorded", last)
		}
		return nil
	})
}

// crashed returns a copy of the data directory of a running appliance, as it is after a kill.
func crashed(t *testing.T, a *appliance.Appliance) string {
	t.Helper()
	var to string
	wait.Eventually(t, func() error { // the server may be deleting a stream's files
		to = filepath.Join(t.TempDir(), "data")
		return os.CopyFS(to, os.DirFS(a.DataDir()))
	})
	return to
}

func messageDir(dataDir, stream string) string {
	return filepath.Join(dataDir, "jetstream", "choria", "streams", stream, "msgs")
}

// openAt runs an appliance in an existing data directory until the test ends or it is closed.
func openAt(t *testing.T, dir, text string) *appliance.Appliance {
	t.Helper()
	cfg := testkit.Config(t, text)
	cfg.DataDir = dir
	return testkit.Open(t, cfg)
}

func TestIntegrity_ChangesThroughTheAPIAreNoLoss(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, recordOften+keepAll)
	js := testkit.JetStream(t, a)
	for _, name := range []string{"PURGED", "DELETED", "AGAIN", "LOWERED"} {
		cfg := jetstream.StreamConfig{Name: name, Subjects: []string{name}}
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, err := js.Publish(t.Context(), name, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := js.CreateConsumer(t.Context(), "PURGED", jetstream.ConsumerConfig{Durable: "reader"}); err != nil {
		t.Fatal(err)
	}
	registerAndWait(t, a, 0, 10)
	stream := func(name string) jetstream.Stream {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	registrations := stream(contract.StreamRegistration)
	_, lowered := js.UpdateStream(t.Context(),
		jetstream.StreamConfig{Name: "LOWERED", Subjects: []string{"LOWERED"}, MaxMsgs: 3})
	_, created := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "NEW", Subjects: []string{"new"}})
	err := errors.Join(
		stream("PURGED").Purge(t.Context()), js.DeleteConsumer(t.Context(), "PURGED", "reader"),
		js.DeleteStream(t.Context(), "DELETED"), js.DeleteStream(t.Context(), "AGAIN"), lowered, created,
		registrations.DeleteMsg(t.Context(), 3), registrations.SecureDeleteMsg(t.Context(), 5),
	)
	if err != nil {
		t.Fatal(err)
	}
	again := jetstream.StreamConfig{Name: "AGAIN", Subjects: []string{"again"}}
	if _, err := js.CreateStream(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	at := map[string]string{"at once": crashed(t, a)}
	registerAndWait(t, a, 10, 5)
	if w := warningsOf(t, a); len(w) > 0 {
		t.Errorf("while it runs: %+v", w)
	}
	at["later"] = crashed(t, a)
	for name, dir := range at {
		t.Run(name, func(t *testing.T) {
			if w := warningsOf(t, openAt(t, dir, recordOften+keepAll)); len(w) > 0 {
				t.Errorf("after a kill: %+v", w)
			}
		})
	}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if w := warningsOf(t, openAt(t, a.DataDir(), recordOften+keepAll)); len(w) > 0 {
		t.Errorf("after a stop: %+v", w)
	}
}

// lostStore returns the data directory of a stopped appliance whose registrations, ten of them, were
// deleted from the disk.
func lostStore(t *testing.T) string {
	t.Helper()
	a := testkit.Appliance(t, recordOften+keepAll)
	registerAndWait(t, a, 0, 10)
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(messageDir(a.DataDir(), contract.StreamRegistration)); err != nil {
		t.Fatal(err)
	}
	return a.DataDir()
}

func TestIntegrity_ALossIsReportedUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, recordOften+keepAll)
	cfg.DataDir = lostStore(t)
	var log logBuffer
	reports := func(errors int) *appliance.Appliance {
		t.Helper()
		a := appliance.New(cfg, appliance.Options{Log: hclog.New(&hclog.LoggerOptions{Output: &log})})
		t.Cleanup(func() { _ = a.Close(context.Background()) })
		if err := a.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := warningsOf(t, a)
		if len(w) != 1 || w[0].Code != "stream-lost" || w[0].What != contract.StreamRegistration ||
			!strings.Contains(w[0].Detail, "10 messages are missing: sequences 1-10; ") {
			t.Errorf("have %+v", w)
		}
		metric := `muster_stream_lost_messages{stream="CHORIA_REGISTRATION"} 10` + "\n"
		if _, metrics := testkit.Get(t, a, "/metrics"); !strings.Contains(metrics, metric) {
			t.Errorf("the metrics do not have %s", metric)
		}
		if n := strings.Count(log.String(), "[ERROR]"); n != errors {
			t.Errorf("%d errors are logged, want %d:\n%s", n, errors, log.String())
		}
		return a
	}
	for range 2 { // also after a restart
		if err := reports(1).Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	a := reports(1)
	if n := lossEvents(t, a); n != 1 {
		t.Errorf("%d events are stored", n)
	}
	nc := testkit.Connect(t, a)
	accept := func(stream string) (answer appliance.AcceptAnswer) {
		t.Helper()
		m, err := nc.Request(contract.SubjectAcceptLoss+stream, nil, wait.Limit)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if answer := accept("CHORIA_EVENTS"); answer.Error == "" {
		t.Error("a loss that there is not was accepted")
	}
	if answer := accept(contract.StreamRegistration); answer.Error != "" {
		t.Error(answer.Error)
	}
	if w := warningsOf(t, a); len(w) > 0 {
		t.Errorf("still %+v", w)
	}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if w := warningsOf(t, openAt(t, cfg.DataDir, recordOften+keepAll)); len(w) > 0 {
		t.Errorf("after a restart: %+v", w)
	}
}

// lossEvents returns the number of stored events about a lost stream.
func lossEvents(t *testing.T, a *appliance.Appliance) (n int) {
	t.Helper()
	for _, m := range testkit.Messages(t, testkit.JetStream(t, a), contract.StreamFleet) {
		if m.Subject() == "muster.fleet.site.stream-lost.appliance.test" {
			n++
		}
	}
	return n
}

func TestIntegrity_ComparesAfterTheStoreIsReopened(t *testing.T) {
	if raceDetector {
		t.Skip("the server has data races between requests and reopening the store")
	}
	t.Parallel()
	a := testkit.Appliance(t, recordOften+keepAll)
	js := testkit.JetStream(t, a)
	cfg := jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	registerAndWait(t, a, 0, 10)
	if err := a.ReopenStore(); err != nil {
		t.Fatal(err)
	}
	registerAndWait(t, a, 10, 1) // states are recorded again
	if w := warningsOf(t, a); len(w) > 0 {
		t.Errorf("nothing is lost: %+v", w)
	}
	for _, stream := range []string{contract.StreamRegistration, "OTHER"} {
		if err := os.RemoveAll(filepath.Dir(messageDir(a.DataDir(), stream))); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.ReopenStore(); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		lost := map[string]string{}
		for _, w := range a.Warnings() {
			lost[w.What] = w.Code + " " + w.Detail
		}
		if !strings.HasPrefix(lost[contract.StreamRegistration], "stream-lost 11 messages are missing") ||
			!strings.Contains(lost["OTHER"], "the stream does not exist") {
			return fmt.Errorf("have %v", lost)
		}
		return nil
	})
	registerAndWait(t, a, 11, 5) // the stream was created again, and sequences go on
}

func TestIntegrity_ARecordThatCannotBeWrittenStopsNothing(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, recordOften+keepAll)
	if err := os.Mkdir(cfg.RecordFile()+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	a := testkit.Open(t, cfg)
	nc := testkit.Connect(t, a)
	_, raw := testkit.Registration(t, "web1", 1, 10)
	if err := nc.Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	if err := os.Remove(cfg.RecordFile() + ".new"); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		r, err := integrity.Load(cfg.RecordFile())
		if err == nil && r.Streams[contract.StreamRegistration].Last != 1 {
			err = fmt.Errorf("have %+v", r)
		}
		return err
	})
}
