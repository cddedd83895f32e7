package appliance_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Answers of JetStream.
const (
	governorFull = `{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},` +
		`"stream":"GOVERNOR_G1","seq":0}`
	messageDeleted = `{"success":true,"type":"io.nats.jetstream.api.v1.stream_msg_delete_response"}`
)

// newGovernorNode connects a node with the permissions for governors.
func newGovernorNode(t *testing.T, a *appliance.Appliance, site *enroll.Site, identity string) *testkit.Governed {
	t.Helper()
	return testkit.NewGoverned(t, a.BrokerAddress(), site, identity)
}

// want sends a request and compares the answer; "" matches any. It returns the answer.
func want(t *testing.T, nc *nats.Conn, subject, body, answer string) string {
	t.Helper()
	m, err := nc.Request(subject, []byte(body), wait.Limit)
	if err != nil {
		t.Fatalf("%s %s: %v", subject, body, err)
	}
	if answer != "" && string(m.Data) != answer {
		t.Fatalf("%s %s answers\n%s, want\n%s", subject, body, m.Data, answer)
	}
	return string(m.Data)
}

func entered(sequence uint64) string {
	return fmt.Sprintf(`{"stream":"GOVERNOR_G1","seq":%d}`, sequence)
}

// leaveG1 leaves the governor G1.
func leaveG1(t *testing.T, n *testkit.Governed, sequence uint64, answer string) string {
	t.Helper()
	return want(t, n.Conn, "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1", testkit.DeleteEntry(sequence), answer)
}

// newGovernor runs an appliance with the governor G1.
func newGovernor(t *testing.T) (*appliance.Appliance, *enroll.Site, *nats.Conn) {
	t.Helper()
	site, text := newSite(t, "")
	a := testkit.Appliance(t, text)
	admin := adminJetStream(t, a, site).Conn()
	want(t, admin, "$JS.API.STREAM.CREATE.GOVERNOR_G1", testkit.CreateGovernor, "")
	return a, site, admin
}

// wantEntries waits until a governor has so many entries.
func wantEntries(t *testing.T, admin *nats.Conn, count uint64) {
	t.Helper()
	js, err := jetstream.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	wantMessages(t, js, "GOVERNOR_G1", count)
}

// TestGovernors_AnswerChoria sends what Choria sends, byte for byte: `choria governor add`, a watcher with a governor
// and `choria governor run` on a node, `choria governor list`, `view`, `evict`, `reset` and `delete`.
func TestGovernors_AnswerChoria(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "")
	a := testkit.Appliance(t, text)
	admin := adminJetStream(t, a, site).Conn()
	info := func(contains ...string) {
		t.Helper()
		answer := want(t, admin, "$JS.API.STREAM.INFO.GOVERNOR_G1", "", "")
		for _, text := range contains {
			if !strings.Contains(answer, text) {
				t.Errorf("%s has no %s", answer, text)
			}
		}
	}
	info(`"err_code":10059`)
	created := want(t, admin, "$JS.API.STREAM.CREATE.GOVERNOR_G1", testkit.CreateGovernor, "")
	if !strings.Contains(created, `"subjects":["choria.governor.G1"]`) || strings.Contains(created, "muster.write") {
		t.Errorf("created as %s", created)
	}
	update := strings.Replace(testkit.CreateGovernor, `"max_msgs":2`, `"max_msgs":1`, 1)
	want(t, admin, "$JS.API.STREAM.UPDATE.GOVERNOR_G1", update, "")
	info(`"subjects":["choria.governor.G1"]`, `"max_msgs":1`, `"messages":0`)
	want(t, admin, "$JS.API.STREAM.NAMES", `{"offset":0,"subject":"choria.governor.*"}`, `{"limit":256,"offset":0,`+
		`"streams":["GOVERNOR_G1"],"total":1,"type":"io.nats.jetstream.api.v1.stream_names_response"}`)

	n1, n2 := newGovernorNode(t, a, site, "n1.example.net"), newGovernorNode(t, a, site, "n2.example.net")
	want(t, n1.Conn, "$JS.API.STREAM.INFO.GOVERNOR_G1", "", "")
	want(t, n1.Conn, "choria.governor.G1", n1.Watcher(), entered(1))
	want(t, n2.Conn, "choria.governor.G1", n2.Watcher(), governorFull)
	viewGovernor(t, admin, n1.Watcher())
	leaveG1(t, n1, 1, messageDeleted)
	want(t, n2.Conn, "choria.governor.G1", "n2.example.net", entered(2)) // choria governor run
	leaveG1(t, n2, 2, messageDeleted)
	want(t, n2.Conn, "choria.governor.G1", "n2.example.net", entered(3))
	if entry := want(t, admin, "$JS.API.STREAM.MSG.GET.GOVERNOR_G1", `{"seq":3}`, ""); !strings.Contains(entry,
		`"subject":"choria.governor.G1","seq":3`) || !strings.Contains(entry, `"data":"bjIuZXhhbXBsZS5uZXQ="`) {
		t.Errorf("the entry is %s", entry)
	}
	want(t, admin, "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1", `{"seq":3}`, messageDeleted) // choria governor evict
	want(t, n1.Conn, "choria.governor.G1", n1.Watcher(), entered(4))
	want(t, admin, "$JS.API.STREAM.PURGE.GOVERNOR_G1", "",
		`{"purged":1,"success":true,"type":"io.nats.jetstream.api.v1.stream_purge_response"}`)
	want(t, admin, "$JS.API.STREAM.DELETE.GOVERNOR_G1", "",
		`{"success":true,"type":"io.nats.jetstream.api.v1.stream_delete_response"}`)
	_, err := n1.Request("choria.governor.G1", []byte(n1.Watcher()), wait.Limit)
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a governor that does not exist: %v", err)
	}
}

// viewGovernor does what `choria governor view` does, and compares the only entry.
func viewGovernor(t *testing.T, admin *nats.Conn, name string) {
	t.Helper()
	entries, err := admin.SubscribeSync("choria.reply.view")
	if err != nil {
		t.Fatal(err)
	}
	want(t, admin, "$JS.API.CONSUMER.CREATE.GOVERNOR_G1.qiaYW5AI", `{"stream_name":"GOVERNOR_G1","config":{`+
		`"ack_policy":"none","ack_wait":30000000000,"deliver_policy":"all","deliver_subject":"choria.reply.view",`+
		`"name":"qiaYW5AI","replay_policy":"instant","num_replicas":0,"pause_until":"0001-01-01T00:00:00Z"},"action":""}`, "")
	m, err := entries.NextMsg(wait.Limit)
	if err != nil || m.Subject != "choria.governor.G1" || string(m.Data) != name {
		t.Fatalf("%v: %v, want %s", m, err, name)
	}
}

// TestGovernors_NoNodeFreesTheSlotOfAnother has a node delete the entry of another one, and enter with its headers
// and under its name.
func TestGovernors_NoNodeFreesTheSlotOfAnother(t *testing.T) {
	t.Parallel()
	a, site, admin := newGovernor(t)
	n1, n2 := newGovernorNode(t, a, site, "n1.example.net"), newGovernorNode(t, a, site, "n2.example.net")
	want(t, n1.Conn, "choria.governor.G1", n1.Watcher(), entered(1))
	refused := `{"error":{"code":403,"err_code":10057,"description":` +
		`"message delete not permitted: the entry was not made by this node"},` +
		`"type":"io.nats.jetstream.api.v1.stream_msg_delete_response"}`
	leaveG1(t, n2, 1, refused)
	for _, body := range []string{`{"seq":1`, `{"seq":"1"}`, `{"seq":2,"SEQ":1}`, `{"seq":1,"seq":2,"Seq":1}`, ""} {
		if answer := want(t, n2.Conn, "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1", body, ""); !strings.Contains(answer, "error") {
			t.Errorf("%s is answered with %s", body, answer)
		}
	}
	if answer := leaveG1(t, n2, 2, ""); !strings.Contains(answer, `"err_code":10037`) { // nothing is stored there yet
		t.Errorf("an entry that does not exist: %s", answer)
	}
	forged := &nats.Msg{Subject: "choria.governor.G1", Data: []byte(n1.Watcher()), Header: nats.Header{
		contract.HeaderIdentity: {"n1.example.net"}, contract.HeaderConnection: {"x/1"},
	}}
	m, err := n2.RequestMsg(forged, wait.Limit)
	if err != nil || string(m.Data) != entered(2) {
		t.Fatalf("%v: %v", m, err)
	}
	leaveG1(t, n1, 2, refused)
	wantEntries(t, admin, 2)
	const refusals = "\nmuster_broker_permission_violations_total{kind=\"publish\"} 2\n"
	if _, metrics := testkit.Get(t, a, "/metrics"); !strings.Contains(metrics, refusals) {
		t.Error("2 refusals are not counted")
	}
	leaveG1(t, n2, 2, messageDeleted)
	leaveG1(t, n1, 1, messageDeleted)
	wantEntries(t, admin, 0)
}

// TestGovernors_IgnoreWhatNoNodePublished makes JetStream, the server and the appliance publish to a governor, and the
// appliance to JetStream's API and to itself.
func TestGovernors_IgnoreWhatNoNodePublished(t *testing.T) {
	t.Parallel()
	a, site, admin := newGovernor(t)
	n1 := newGovernorNode(t, a, site, "n1.example.net")
	const target = "choria.governor.G1"
	want(t, admin, "$JS.API.STREAM.CREATE.OTHER", `{"name":"OTHER","subjects":["x"],"storage":"memory",`+
		`"retention":"limits","discard":"old"}`, "")
	before := ignoredAttempts(t, a)
	for _, subject := range []string{"x", "$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.GOVERNOR_G1"} {
		if err := admin.PublishRequest(subject, target, nil); err != nil { // the answers go to the governor
			t.Fatal(err)
		}
	}
	for _, reply := range []string{ // the acks go there
		"$JS.API.STREAM.DELETE.GOVERNOR_G1", "$JS.API.STREAM.PURGE.GOVERNOR_G1", "muster.admin.accept-loss.GOVERNOR_G1",
		target,
	} {
		if err := n1.PublishRequest(target, reply, []byte(n1.Watcher())); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(n1.Flush(), admin.Flush()); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if ignored := ignoredAttempts(t, a) - before; ignored < 1 { // the ack of the other stream
			return fmt.Errorf("%d attacks were ignored", ignored)
		}
		return nil
	})
	want(t, n1.Conn, target, n1.Watcher(), entered(5)) // the watcher has replaced its own entries
	want(t, n1.Conn, "$JS.API.STREAM.INFO.GOVERNOR_G1", "", "")
	wantEntries(t, admin, 1)
}

// ignoredAttempts returns how many messages to governors were ignored.
func ignoredAttempts(t *testing.T, a *appliance.Appliance) (count int) {
	t.Helper()
	_, metrics := testkit.Get(t, a, "/metrics")
	_, rest, _ := strings.Cut(metrics, "\nmuster_governor_attempts_total{outcome=\"ignored\"} ")
	if _, err := fmt.Sscan(rest, &count); err != nil {
		t.Fatal(err)
	}
	return count
}

// TestGovernors_ExistingOnesAreConverted opens a governor of an earlier version, with an entry.
func TestGovernors_ExistingOnesAreConverted(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "")
	dir := t.TempDir()
	a, _, closeAppliance := reopen(t, dir, text)
	admin := adminJetStream(t, a, site).Conn()
	want(t, admin, "$JS.API.STREAM.CREATE.GOVERNOR_G1", testkit.CreateGovernor, "")
	rawUpdate(t, a, "GOVERNOR_G1", func(cfg *jetstream.StreamConfig) {
		cfg.Subjects, cfg.SubjectTransform = []string{"choria.governor.G1"}, nil
	})
	n1 := newGovernorNode(t, a, site, "n1.example.net")
	want(t, n1.Conn, "choria.governor.G1", n1.Watcher(), entered(1)) // of JetStream itself: only one answer arrives
	n1.Close()
	closeAppliance()

	a, _, _ = reopen(t, dir, text)
	if subjects := rawConfig(t, a, "GOVERNOR_G1").Subjects; len(subjects) != 1 ||
		subjects[0] != writePrefix(t, a)+"choria.governor.G1" {
		t.Errorf("it listens to %q", subjects)
	}
	admin = adminJetStream(t, a, site).Conn()
	wantEntries(t, admin, 1)
	n1 = newGovernorNode(t, a, site, "n1.example.net")
	want(t, n1.Conn, "choria.governor.G1", n1.Watcher(), entered(2))
	want(t, n1.Conn, "choria.governor.G1", "n1.example.net", governorFull)
	if answer := leaveG1(t, n1, 1, ""); !strings.Contains(answer, `"err_code":10057`) {
		t.Errorf("an entry without identity: %s", answer)
	}
	want(t, admin, "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1", `{"seq":1}`, messageDeleted)
	leaveG1(t, n1, 2, messageDeleted)
	wantEntries(t, admin, 0)
}

// TestGovernors_SurviveAReopenedStore enters and leaves after the store was closed and opened.
func TestGovernors_SurviveAReopenedStore(t *testing.T) {
	t.Parallel()
	a, site, admin := newGovernor(t)
	n1 := newGovernorNode(t, a, site, "n1.example.net")
	want(t, n1.Conn, "choria.governor.G1", "n1.example.net", entered(1))
	if err := a.ReopenStore(); err != nil {
		t.Fatal(err)
	}
	leaveG1(t, n1, 1, messageDeleted)
	want(t, n1.Conn, "choria.governor.G1", n1.Watcher(), entered(2))
	n1.Cut()
	wait.Eventually(t, func() error { // the watcher has no answer perhaps, and enters again
		m, err := n1.Request("choria.governor.G1", []byte(n1.Watcher()), time.Second)
		if err == nil && strings.Contains(string(m.Data), "error") {
			err = errors.New(string(m.Data))
		}
		return err
	})
	wantEntries(t, admin, 1)
}

// TestGovernors_ReleaseSlotsOfNodesThatAreDown ends the connections of a node that has registered.
func TestGovernors_ReleaseSlotsOfNodesThatAreDown(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "[fleet]\ndisconnect_grace = '1s'\n[broker]\ngovernor_release = '1s'\n")
	a := testkit.Appliance(t, text)
	admin := adminJetStream(t, a, site).Conn()
	want(t, admin, "$JS.API.STREAM.CREATE.GOVERNOR_G1", testkit.CreateGovernor, "")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var entries []*testkit.Governed
	for i := range 2 {
		n, err := simnode.NewNode(i, simnode.NodeOptions{Site: site, RSA: key})
		if err != nil {
			t.Fatal(err)
		}
		nc := testkit.Connect(t, a, n.Options(n.Identity, site.Roots())...)
		publishAll(t, nc, n, 1, func(int) string { return testkit.Subject })
		nc.Close()
		g := newGovernorNode(t, a, site, n.Identity)
		want(t, g.Conn, "choria.governor.G1", g.Identity, entered(uint64(i+1)))
		entries = append(entries, g)
	}
	entries[0].Close()
	wantEntries(t, admin, 1)
	leaveG1(t, entries[1], 2, messageDeleted)
	wantEntries(t, admin, 0)
}
