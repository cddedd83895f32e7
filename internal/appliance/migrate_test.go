package appliance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startChoriaBroker runs a NATS server with the accounts and the store of a Choria broker, and returns JetStream of
// the account choria, and a function that stops the server.
func startChoriaBroker(t *testing.T, store string) (js jetstream.JetStream, stop func()) {
	t.Helper()
	system, choria := server.NewAccount("system"), server.NewAccount("choria")
	s, err := server.NewServer(&server.Options{
		ServerName: "choria1.example.net", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: store, Accounts: []*server.Account{system, choria}, SystemAccount: "system",
		Users: []*server.User{{Username: "choria", Password: "p", Account: choria}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(wait.Limit) {
		t.Fatal("the server is not ready")
	}
	account, err := s.LookupAccount("choria")
	if err != nil {
		t.Fatal(err)
	}
	if err := account.EnableJetStream(nil, nil); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("choria", "p"))
	if err != nil {
		t.Fatal(err)
	}
	if js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return js, func() {
		nc.Close()
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// choriaStreams are streams as Choria creates them, one of an operator, and a governor, each with a subject that it
// stores.
var choriaStreams = []struct {
	config   jetstream.StreamConfig
	subject  string
	messages int
}{
	{jetstream.StreamConfig{Name: "CHORIA_EVENTS", Subjects: []string{"choria.lifecycle.>"}, MaxAge: 24 * time.Hour},
		"choria.lifecycle.event.startup.server", 30},
	{jetstream.StreamConfig{Name: "CHORIA_MACHINE", Subjects: []string{"choria.machine.>"}, MaxAge: 24 * time.Hour},
		"choria.machine.transition", 20},
	{jetstream.StreamConfig{Name: "CHORIA_STREAM_ADVISORIES", Subjects: []string{"$JS.EVENT.ADVISORY.>"},
		MaxAge: 168 * time.Hour}, "", 0}, // stores that streams are created
	{jetstream.StreamConfig{Name: "CMDB", Subjects: []string{"cmdb.>"}}, "cmdb.web1", 500},
	{jetstream.StreamConfig{Name: "GOVERNOR_G1", Subjects: []string{"mcollective.governor.G1"}, MaxMsgs: 2,
		Discard: jetstream.DiscardNew, MaxAge: time.Hour}, "mcollective.governor.G1", 2},
}

// fillChoriaStore stores messages, a bucket and a consumer that has acknowledged some messages. It returns how many
// messages each stream of choriaStreams has.
func fillChoriaStore(t *testing.T, js jetstream.JetStream) (counts map[string]uint64) {
	t.Helper()
	for _, s := range choriaStreams {
		if _, err := js.CreateStream(t.Context(), s.config); err != nil {
			t.Fatalf("%s: %v", s.config.Name, err)
		}
		for n := range s.messages {
			if _, err := js.Publish(t.Context(), s.subject, fmt.Appendf(nil, "%s %d", s.config.Name, n)); err != nil {
				t.Fatalf("%s: %v", s.config.Name, err)
			}
		}
	}
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "TEST", History: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two"} {
		if _, err := bucket.PutString(t.Context(), "key", value); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.CreateConsumer(t.Context(), "CMDB", jetstream.ConsumerConfig{Durable: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(100)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	counts = map[string]uint64{}
	for _, s := range choriaStreams {
		stream, err := js.Stream(t.Context(), s.config.Name)
		if err != nil {
			t.Fatal(err)
		}
		counts[s.config.Name] = stream.CachedInfo().State.Msgs
	}
	if counts["GOVERNOR_G1"] != 2 || counts["CMDB"] != 500 || counts["CHORIA_STREAM_ADVISORIES"] == 0 {
		t.Fatalf("the broker has stored %v", counts)
	}
	return counts
}

// TestMigrate_StoreOfChoriaIsTakenAlong copies the store of a Choria broker as docs/migrate.md describes it.
func TestMigrate_StoreOfChoriaIsTakenAlong(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	broker, stop := startChoriaBroker(t, store)
	counts := fillChoriaStore(t, broker)
	stop()
	a := openWithStore(t, "", store)
	js := testkit.JetStream(t, a)
	for _, s := range choriaStreams {
		info, err := js.Stream(t.Context(), s.config.Name)
		if err != nil {
			t.Errorf("%s: %v", s.config.Name, err)
			continue
		}
		have, want := info.CachedInfo().State.Msgs, counts[s.config.Name]
		if have < want || have > want && s.subject != "" { // the appliance's own requests are stored, too
			t.Errorf("%s has %d messages, want %d", s.config.Name, have, want)
		}
	}
	for n, m := range testkit.Messages(t, js, "CMDB") {
		if want := fmt.Sprintf("CMDB %d", n); string(m.Data()) != want {
			t.Fatalf("message %d of CMDB is %q, want %q", n, m.Data(), want)
		}
	}
	checkMigratedBucket(t, js)
	consumer, err := js.Consumer(t.Context(), "CMDB", "reader")
	if err != nil {
		t.Fatal(err)
	}
	if n := consumer.CachedInfo().NumPending; n != 400 {
		t.Errorf("the consumer has %d messages before it, want 400", n)
	}
	planIsClean(t, a)
}

// openWithStore runs an appliance with the stored data of a Choria broker until the test ends.
func openWithStore(t *testing.T, text, store string) *appliance.Appliance {
	t.Helper()
	cfg := testkit.Config(t, text)
	if err := os.CopyFS(filepath.Join(cfg.DataDir, "jetstream"), os.DirFS(filepath.Join(store, "jetstream"))); err != nil {
		t.Fatal(err)
	}
	return testkit.Open(t, cfg)
}

// planIsClean checks that the streams are as declared.
func planIsClean(t *testing.T, a *appliance.Appliance) {
	t.Helper()
	var listing struct{ Changes []json.RawMessage }
	status, text := testkit.Get(t, a, "/api/v1/streams")
	if err := json.Unmarshal([]byte(text), &listing); err != nil || status != http.StatusOK || len(listing.Changes) > 0 {
		t.Errorf("streams plan is not clean: %d %v %s", status, err, text)
	}
}

// TestMigrate_OwnStreamOfRegistrationsGoesOn declares a stream of registrations that Choria's adapter wrote, as
// docs/migrate.md describes it. New registrations are stored there, and the view has their nodes.
func TestMigrate_OwnStreamOfRegistrationsGoesOn(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	broker, stop := startChoriaBroker(t, store)
	config := jetstream.StreamConfig{Name: "NODES", Subjects: []string{"choria.node_metadata.>"}, MaxMsgsPerSubject: 5}
	if _, err := broker.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	stored := `{"protocol":"choria:adapters:jetstream:output:1","data":"e30=","sender":"old.example.net","time":"` +
		time.Now().UTC().Format(time.RFC3339) + `"}`
	if _, err := broker.Publish(t.Context(), "choria.node_metadata.old.example.net", []byte(stored)); err != nil {
		t.Fatal(err)
	}
	stop()
	a := openWithStore(t, "[stream.CHORIA_REGISTRATION]\nenabled = false\n"+
		"[stream.NODES]\nsubjects = \"choria.node_metadata.>\"\nmax_msgs_per_subject = 5\n"+
		"[fleet]\nstream = \"NODES\"\n", store)
	nc := testkit.Connect(t, a)
	if err := nc.Publish(testkit.Subject, testkit.Raw(t, "v1-mtls/registration-file.transport.json")); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	if n := len(testkit.Messages(t, testkit.JetStream(t, a), "NODES")); n != 2 {
		t.Errorf("the stream has %d messages, want the old and the new one", n)
	}
	wait.Eventually(t, func() error {
		_, text := testkit.Get(t, a, "/api/v1/nodes?format=names")
		if text != "node1.example.net\n" {
			return fmt.Errorf("the nodes are %q", text)
		}
		return nil
	})
	planIsClean(t, a)
}

// checkMigratedBucket checks that the bucket has its values, and takes new ones.
func checkMigratedBucket(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	bucket, err := js.KeyValue(t.Context(), "TEST")
	if err != nil {
		t.Fatal(err)
	}
	history, err := bucket.History(t.Context(), "key")
	if err != nil || len(history) != 2 || string(history[0].Value()) != "one" || string(history[1].Value()) != "two" {
		t.Errorf("the history is %v, %v", history, err)
	}
	if revision, err := bucket.PutString(t.Context(), "key", "three"); err != nil || revision != 3 {
		t.Errorf("revision %d, %v", revision, err)
	}
}
