package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// fakeStore is a storeMonitor with a clock, a disk and a health report of the test.
type fakeStore struct {
	*storeMonitor
	log      bytes.Buffer
	now      time.Time
	problems []storeProblem
	ok       bool   // the server looked
	free     uint64 // bytes of 100 MiB
	reopened int
}

func newFakeStore() *fakeStore {
	f := &fakeStore{now: time.Unix(1000, 0), ok: true, free: 50 << 20}
	f.storeMonitor = &storeMonitor{
		dir:     "/data",
		log:     hclog.New(&hclog.LoggerOptions{Output: &f.log}),
		inspect: func() ([]storeProblem, bool) { return f.problems, f.ok },
		space:   func(string) (host.Space, error) { return host.Space{Total: 100 << 20, Free: f.free}, nil },
		reopen:  func() error { f.reopened++; return errors.New("not yet") },
	}
	return f
}

// checks checks n times, at the interval of a broker.
func (f *fakeStore) checks(n int) {
	for range n {
		f.now = f.now.Add(storeInterval)
		f.check(f.now)
	}
}

// logs counts the lines that contain the text.
func (f *fakeStore) logs(text string) int { return strings.Count(f.log.String(), text) }

func TestStoreMonitor_ReopensWhenThereIsRoomAndNotTooOften(t *testing.T) {
	f := newFakeStore()
	f.problems, f.free = []storeProblem{{kind: writeError, stream: "S", detail: "no space left on device"}}, 0
	f.checks(50)
	if f.reopened != 0 || f.logs("store cannot be written") != 1 {
		t.Fatalf("reopened %d times without room:\n%s", f.reopened, &f.log)
	}
	f.free = 50 << 20
	f.checks(50) // 25 seconds
	if f.reopened != 3 {
		t.Errorf("reopened %d times in 25 seconds", f.reopened)
	}
	if f.logs("store not reopened") != 3 {
		t.Errorf("have\n%s", &f.log)
	}
	f.problems = nil
	f.checks(2)
	if f.logs("store can be written again") != 1 || len(f.Faults()) != 0 {
		t.Errorf("faults %v, have\n%s", f.Faults(), &f.log)
	}
}

func TestStoreMonitor_ReportsWriteErrorAtOnceAndReopensOnceItPersists(t *testing.T) {
	f := newFakeStore()
	f.problems = []storeProblem{{kind: writeError, stream: "S", detail: "x"}}
	f.checks(1)
	if faults := f.Faults(); len(faults) != 1 || faults[0] != (Fault{"S", "x"}) {
		t.Errorf("have %v", faults)
	}
	f.checks(minChecks - 1)
	if f.reopened != 0 {
		t.Errorf("reopened within %s", minAge)
	}
	f.checks(1)
	if f.reopened != 1 {
		t.Errorf("reopened %d times", f.reopened)
	}
}

func TestStoreMonitor_ReopensClosedStore(t *testing.T) {
	f := newFakeStore()
	f.problems = []storeProblem{{kind: storeClosed, detail: "closed"}}
	f.checks(minChecks + 1)
	if f.reopened != 1 || len(f.Faults()) != 1 {
		t.Errorf("reopened %d times, faults %v", f.reopened, f.Faults())
	}
}

func TestStoreMonitor_NeverReopensForStreamThatCannotBeRecovered(t *testing.T) {
	f := newFakeStore()
	f.problems = []storeProblem{{stream: "S", detail: "could not be recovered", version: 1}}
	f.checks(minChecks)
	if len(f.Faults()) != 0 {
		t.Errorf("reported within %s: %v", minAge, f.Faults())
	}
	f.checks(100)
	if f.reopened != 0 || len(f.Faults()) != 1 {
		t.Errorf("reopened %d times, faults %v", f.reopened, f.Faults())
	}
	if f.logs("stream cannot be recovered") != 1 || f.logs("store cannot be written") != 0 {
		t.Errorf("have\n%s", &f.log)
	}
	f.problems = nil
	f.checks(1)
	if len(f.Faults()) != 0 {
		t.Errorf("still %v", f.Faults())
	}
}

func TestStoreMonitor_IgnoresStreamThatIsCreatedAgainAndAgain(t *testing.T) {
	f := newFakeStore()
	for version := range int64(100) {
		f.problems = []storeProblem{{stream: "S", detail: "could not be recovered", version: version}}
		f.checks(minChecks)
		if len(f.Faults()) != 0 {
			t.Fatalf("reported %v", f.Faults())
		}
	}
	if f.log.Len() > 0 {
		t.Errorf("have\n%s", &f.log)
	}
}

func TestStoreMonitor_NeedsSeveralChecksAfterSuspend(t *testing.T) {
	f := newFakeStore()
	f.problems = []storeProblem{{stream: "S", version: 1}}
	f.checks(1)
	f.now = f.now.Add(time.Hour) // the machine was suspended
	f.checks(1)
	if len(f.Faults()) != 0 {
		t.Errorf("reported %v", f.Faults())
	}
}

func TestStoreMonitor_KeepsFaultsWhileServerDoesNotLook(t *testing.T) {
	f := newFakeStore()
	f.problems = []storeProblem{{kind: writeError, stream: "S", detail: "x"}}
	f.checks(1)
	f.problems, f.ok = nil, false
	f.checks(1)
	if len(f.Faults()) != 1 || f.logs("store can be written again") != 0 {
		t.Errorf("faults %v, have\n%s", f.Faults(), &f.log)
	}
}

// TestStoreMonitor_HealsAfterWriteError causes a real write error, so that a
// server that reports it in other words fails the test.
func TestStoreMonitor_HealsAfterWriteError(t *testing.T) {
	t.Parallel()
	b := openBroker(t)
	js := jetStreamOf(t, b)
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxBytes: 8 << 20}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	messages := filepath.Join(b.opts.StoreDir, server.JetStreamStoreDir, account, "streams", "S", "msgs")
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a stream that cannot write does not answer
		defer cancel()
		_, err := js.Publish(ctx, "s", make([]byte, 256<<10))
		return err
	}
	stored := 0
	for ; stored < 3; stored++ {
		if err := publish(); err != nil {
			t.Fatal(err)
		}
	}
	// The next block cannot be created: its directory is a file.
	aside := filepath.Join(t.TempDir(), "msgs")
	if err := errors.Join(os.Rename(messages, aside), os.WriteFile(messages, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	nc := js.Conn()
	wait.Eventually(t, func() error {
		if err := nc.Publish("s", make([]byte, 256<<10)); err != nil {
			t.Fatal(err)
		}
		problems, _ := b.inspectStore()
		if len(problems) != 1 || problems[0].kind != writeError || problems[0].stream != "S" {
			return fmt.Errorf("have %+v", problems)
		}
		return nil
	})
	// The fault is over, and the store is opened again without a restart.
	if err := errors.Join(os.Remove(messages), os.Rename(aside, messages)); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, publish)
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n < uint64(stored) {
		t.Errorf("%d messages of %d that were acknowledged", n, stored)
	}
	wait.Eventually(t, func() error {
		if faults := b.Faults(); len(faults) > 0 {
			return fmt.Errorf("still %v", faults)
		}
		return nil
	})
}

// changeStreams creates, edits and deletes streams and buckets, with a pause after each operation.
//
// It works around two races in NATS 2.15. It uses each name once, because NATS removes the
// files of a deleted stream in the background. And another file stream must exist, because
// with the last one NATS removes the directory in which a new stream is being created.
func changeStreams(t *testing.T, js jetstream.JetStream, operations int, pause time.Duration) {
	t.Helper()
	do := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		operations--
		time.Sleep(pause)
	}
	for i := 0; operations > 0 && !t.Failed(); i++ {
		unique := fmt.Sprintf("%d_%d", pause, i)
		cfg := jetstream.StreamConfig{Name: "S" + unique, Subjects: []string{"s" + unique}}
		if i%3 == 2 {
			cfg.Storage = jetstream.MemoryStorage
		}
		_, err := js.CreateStream(t.Context(), cfg)
		do("create", err)
		cfg.MaxMsgs = 5
		_, err = js.UpdateStream(t.Context(), cfg)
		do("edit", err)
		do("delete", js.DeleteStream(t.Context(), cfg.Name))
		_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: unique})
		do("create bucket", err)
		do("delete bucket", js.DeleteKeyValue(t.Context(), unique))
	}
}

func TestStoreMonitor_IgnoresStreamsThatAreCreatedAndDeleted(t *testing.T) {
	scale := 1
	if os.Getenv("MUSTER_TEST_LONG") == "1" {
		scale = 14 // 5040 operations
	}
	var log syncBuffer
	o := testOptions(t)
	o.Log = hclog.New(&hclog.LoggerOptions{Output: &log})
	b := newBroker(t, DefaultConfig(), o)
	open(t, b)
	js := jetStreamOf(t, b)
	kept, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "KEPT", Subjects: []string{"kept"}, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := jetstream.StreamConfig{Name: "FILE", Subjects: []string{"file"}}
	if _, err := js.CreateStream(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := js.Publish(t.Context(), "kept", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	watched := watchEveryMillisecond(t, b, &log, stop)
	for _, pace := range []struct {
		operations int
		pause      time.Duration
		load       bool
	}{
		{160, 0, false}, {120, 1, true}, {40, 2 * time.Millisecond, false}, {30, 3 * time.Millisecond, true},
		{10, 20 * time.Millisecond, false},
	} {
		t.Run(fmt.Sprintf("pause %s load %v", pace.pause, pace.load), func(t *testing.T) {
			if pace.load {
				defer publishLoad(t, b)()
			}
			changeStreams(t, js, scale*pace.operations, pace.pause)
		})
	}
	close(stop)
	if w := <-watched; w.reopened > 0 || w.faults > 0 || w.problems == 0 {
		t.Errorf("reopened %d times, reported faults %d times; saw unfinished streams %d times, which must not be 0",
			w.reopened, w.faults, w.problems)
	}
	if log.String() != "" {
		t.Errorf("logged\n%s", &log)
	}
	if info, err := kept.Info(t.Context()); err != nil || info.State.Msgs != 5 {
		t.Errorf("the memory stream lost messages: %+v %v", info, err)
	}
}

type watchCounts struct{ reopened, faults, problems int }

// watchEveryMillisecond checks the store of a broker much more often than the broker itself
// does, until stop is closed.
func watchEveryMillisecond(t *testing.T, b *Broker, log *syncBuffer, stop <-chan struct{}) <-chan watchCounts {
	t.Helper()
	var w watchCounts
	monitor := newStoreMonitor(b)
	monitor.log = hclog.New(&hclog.LoggerOptions{Output: log})
	monitor.reopen = func() error { w.reopened++; return nil }
	monitor.inspect = func() ([]storeProblem, bool) {
		problems, ok := b.inspectStore()
		w.problems += len(problems)
		return problems, ok
	}
	done := make(chan watchCounts, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- w
				return
			case now := <-time.After(time.Millisecond):
				monitor.check(now)
				w.faults += len(monitor.Faults()) + len(b.Faults())
			}
		}
	}()
	return done
}

// publishLoad publishes to a stream until the returned function is called.
func publishLoad(t *testing.T, b *Broker) (stop func()) {
	t.Helper()
	js := jetStreamOf(t, b)
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "LOAD", Subjects: []string{"load"}, MaxMsgs: 1000,
	}); err != nil {
		t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for message := make([]byte, 10<<10); ; {
			select {
			case <-quit:
				return
			default:
				_, _ = js.Publish(t.Context(), "load", message)
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
