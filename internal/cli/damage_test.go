package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// damageStreams gives the stream of registrations blocks of 32 kB, and deletes nothing.
const damageStreams = "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\nmax_bytes = '120KiB'\nmax_age = '1h'\n"

const (
	damageMessages = 100 // in about three blocks
	undeclared     = "SITE_NOTES"
	reader         = "reader" // a durable consumer of the registrations
)

// store is the data directory of an appliance that has stored messages.
type store struct {
	dir, older string   // older is a copy from before the last messages
	acked      []string // keys of the stored registrations
}

// newStores returns the same store after a crash and after a clean stop.
func newStores(t *testing.T) (crashed, clean store) {
	t.Helper()
	cfg := testkit.Config(t, recordOften+damageStreams)
	a := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	js := testkit.JetStream(t, a)
	notes := jetstream.StreamConfig{Name: undeclared, Subjects: []string{"notes"}}
	if _, err := js.CreateStream(t.Context(), notes); err != nil {
		t.Fatal(err)
	}
	consumer, err := js.CreateConsumer(t.Context(), contract.StreamRegistration, jetstream.ConsumerConfig{
		Durable: reader, AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	var acked []string
	register := func(n int) {
		nc := js.Conn()
		for range n {
			key, raw := testkit.Registration(t, fmt.Sprintf("web%d", len(acked)%10), len(acked), 350)
			acked = append(acked, key)
			if err := errors.Join(nc.Publish(testkit.Subject, raw), nc.Publish("notes", []byte(key))); err != nil {
				t.Fatal(err)
			}
		}
		testkit.Settled(t, a, "registration", uint64(len(acked)))
	}
	register(damageMessages - 20)
	batch, err := consumer.Fetch(50)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	older := copyDir(t, cfg.DataDir)
	register(20)
	waitRecorded(t, cfg.RecordFile())
	crashed = store{copyDir(t, cfg.DataDir), older, acked}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return crashed, store{cfg.DataDir, older, acked}
}

// waitRecorded waits until the record has all messages.
func waitRecorded(t *testing.T, file string) {
	t.Helper()
	wait.Eventually(t, func() error {
		r, err := integrity.Load(file)
		if err != nil {
			return err
		}
		e := r.Streams[contract.StreamRegistration]
		if e == nil || e.Last != damageMessages || len(e.Consumers) != 1 || e.Consumers[0].AckFloor != 50 {
			return fmt.Errorf("recorded: %+v", e)
		}
		return nil
	})
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// damages are what may happen to a file. Each returns false if it cannot happen to this file.
var damages = map[string]func(file, older string) (bool, error){
	"flip first":  func(file, _ string) (bool, error) { return flip(file, func(int) int { return 0 }) },
	"flip middle": func(file, _ string) (bool, error) { return flip(file, func(size int) int { return size / 2 }) },
	"flip last":   func(file, _ string) (bool, error) { return flip(file, func(size int) int { return size - 1 }) },
	"truncate": func(file, _ string) (bool, error) {
		info, err := os.Stat(file)
		if err != nil || info.IsDir() {
			return false, err
		}
		return true, os.Truncate(file, info.Size()/2)
	},
	"zero": func(file, _ string) (bool, error) {
		info, err := os.Stat(file)
		if err != nil || info.IsDir() {
			return false, err
		}
		return true, os.WriteFile(file, make([]byte, info.Size()), 0o600)
	},
	"delete": func(file, _ string) (bool, error) { return true, os.RemoveAll(file) },
	"old copy": func(file, older string) (bool, error) {
		if _, err := os.Stat(older); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err := os.RemoveAll(file); err != nil {
			return false, err
		}
		if info, err := os.Stat(older); err == nil && info.IsDir() {
			return true, os.CopyFS(file, os.DirFS(older))
		}
		text, err := os.ReadFile(older)
		return true, errors.Join(err, os.WriteFile(file, text, 0o600))
	},
}

func flip(file string, at func(size int) int) (bool, error) {
	info, err := os.Stat(file)
	if err != nil || info.IsDir() || info.Size() == 0 {
		return false, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	text[at(len(text))] ^= 0x10
	return true, os.WriteFile(file, text, 0o600)
}

// storeFiles are the kinds of files and directories of a store, below the data directory.
func storeFiles(s store) []string {
	streams := filepath.Join("jetstream", "choria", "streams")
	registrations, notes := filepath.Join(streams, contract.StreamRegistration), filepath.Join(streams, undeclared)
	consumer := filepath.Join(registrations, "obs", reader)
	files := []string{
		"streams.json", "streams.json.old", registrations, filepath.Join(registrations, "msgs"),
		filepath.Join(registrations, "obs"), consumer, notes, filepath.Join("jetstream", "choria"),
	}
	for _, dir := range []string{registrations, consumer, notes} {
		for _, pattern := range []string{"*.*", "msgs/*.*"} {
			found, _ := filepath.Glob(filepath.Join(s.dir, dir, pattern))
			for _, f := range found {
				name, _ := filepath.Rel(s.dir, f)
				files = append(files, name)
			}
		}
	}
	return files
}

// shortMatrix has one damage for each kind of file; the rest takes minutes.
var shortMatrix = []string{
	"crashed flip middle CHORIA_REGISTRATION msgs 1.blk", // the server truncates the block when it starts
	"clean flip middle CHORIA_REGISTRATION msgs 1.blk",   // the server notices it only when the message is read
	"clean flip first CHORIA_REGISTRATION msgs 3.blk",    // the server truncates the block when it is read
	"clean old copy CHORIA_REGISTRATION msgs 3.blk",
	"clean flip middle CHORIA_REGISTRATION msgs index.db",
	"clean flip middle CHORIA_REGISTRATION meta.inf",
	"clean flip middle SITE_NOTES meta.sum",
	"clean flip middle CHORIA_REGISTRATION obs reader meta.inf",
	"clean flip first CHORIA_REGISTRATION obs reader o.dat",
	"crashed flip middle streams.json",
	"crashed delete CHORIA_REGISTRATION",
	"clean delete SITE_NOTES",
}

func TestDamage_NoMessageDisappearsUnnoticed(t *testing.T) {
	crashed, clean := newStores(t)
	ran := 0
	for state, s := range map[string]store{"crashed": crashed, "clean": clean} {
		for _, file := range storeFiles(s) {
			for _, damage := range slices.Sorted(maps.Keys(damages)) {
				name := strings.ReplaceAll(strings.TrimPrefix(file, "jetstream/choria/streams/"), "/", " ")
				name = state + " " + damage + " " + name
				if !long() && !slices.Contains(shortMatrix, name) {
					continue
				}
				ran++
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					dir := copyDir(t, s.dir)
					ok, err := damages[damage](filepath.Join(dir, file), filepath.Join(s.older, file))
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						t.Skip("not for this file")
					}
					checkDamaged(t, dir, s.acked)
				})
			}
		}
	}
	if ran < len(shortMatrix) {
		t.Errorf("%d of %d damages were tried", ran, len(shortMatrix))
	}
}

// checkDamaged runs an appliance on a damaged store, and compares what can be read with what it reports.
func checkDamaged(t *testing.T, dir string, acked []string) {
	t.Helper()
	cfg := testkit.Config(t, recordOften+damageStreams)
	cfg.DataDir = dir
	a := testkit.Open(t, cfg)
	js := testkit.JetStream(t, a)
	lost := map[string]int{}
	var r console.Readiness
	wait.Eventually(t, func() error {
		r = console.Readiness{}
		testkit.GetJSON(t, a, "/readyz", &r)
		for _, stream := range []string{contract.StreamRegistration, undeclared} {
			missing := len(acked) - readable(t, js, stream)
			if lost[stream] = reportedLost(r.Warnings, stream); lost[stream] != missing {
				return fmt.Errorf("%s: %d messages are missing, %d are reported: %+v", stream, missing, lost[stream], r)
			}
		}
		return nil
	})
	status, out, errOut := muster(t, "check", "health", "--down", "", "--late", "",
		"--server", "http://"+a.ConsoleAddress())
	want := 0
	for _, warning := range r.Warnings {
		want = max(want, 1)
		if warning.Code == integrity.CodeLost {
			want = 2
		}
	}
	if status != want || !r.Ready {
		t.Errorf("check health ends with %d, want %d: %s%s", status, want, out, errOut)
	}
	t.Logf("ready: %v, check health: %d, warnings: %v", r.Ready, status, r.Warnings)
	checkPosition(t, js, r.Warnings)
	checkReaders(t, a, js)
}

// checkPosition checks that a durable consumer that is lost or has another position is named.
func checkPosition(t *testing.T, js jetstream.JetStream, warnings []console.Reason) {
	t.Helper()
	consumer, err := js.Consumer(t.Context(), contract.StreamRegistration, reader)
	if err == nil && consumer.CachedInfo().AckFloor.Stream == 50 {
		return
	}
	named := func(w console.Reason) bool { return w.What == contract.StreamRegistration+"/"+reader }
	if !slices.ContainsFunc(warnings, named) {
		t.Errorf("the consumer is not as before (%v), and no warning names it", err)
	}
}

// reportedLost returns how many messages of a stream are reported as lost.
func reportedLost(warnings []console.Reason, stream string) (lost int) {
	for _, w := range warnings {
		var n int
		if w.Code == integrity.CodeLost && w.What == stream {
			_, _ = fmt.Sscanf(w.Detail, "%d messages", &n)
		}
		lost += n
	}
	return lost
}

// readable returns how many messages of a stream can be read, one by one.
func readable(t *testing.T, js jetstream.JetStream, stream string) (n int) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	for sequence := range uint64(damageMessages) {
		if _, err := s.GetMsg(t.Context(), sequence+1); err == nil {
			n++
		}
	}
	return n
}

// checkReaders checks that a new message gets a sequence that no message had, and that a durable
// consumer receives it.
func checkReaders(t *testing.T, a *appliance.Appliance, js jetstream.JetStream) {
	t.Helper()
	_, raw := testkit.Registration(t, "web1", 1_000_000, 10)
	if err := js.Conn().Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	s, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	if last := s.CachedInfo().State.LastSeq; last <= damageMessages {
		t.Errorf("the new message has sequence %d, and %d were used", last, damageMessages)
	}
	consumer, err := js.CreateOrUpdateConsumer(t.Context(), contract.StreamRegistration, jetstream.ConsumerConfig{
		Durable: reader, AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(damageMessages+1, jetstream.FetchMaxWait(wait.Limit))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if strings.HasSuffix(m.Headers().Get(nats.MsgIdHdr), fmt.Sprintf("%032d", 1_000_000)) {
			return
		}
	}
	t.Error("the durable consumer does not receive the new message")
}
