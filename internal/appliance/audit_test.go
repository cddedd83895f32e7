package appliance_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// openLogged runs an appliance until the test ends, and returns its log.
func openLogged(t *testing.T, text string) (*appliance.Appliance, *logBuffer) {
	t.Helper()
	out := &logBuffer{}
	a := appliance.New(testkit.Config(t, text), appliance.Options{
		Version: "test", Log: hclog.New(&hclog.LoggerOptions{Output: out}),
	})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(t.Context()) })
	return a, out
}

// auditRecords waits until the stream has records of so many actions, and returns the records.
func auditRecords(t *testing.T, js jetstream.JetStream, actions uint64) (records []audit.Record) {
	t.Helper()
	have, read := uint64(0), uint64(0)
	wait.Eventually(t, func() error {
		s, err := js.Stream(t.Context(), contract.StreamAudit)
		if err != nil {
			return err
		}
		if n := s.CachedInfo().State.Msgs; n > read {
			records, have = nil, 0
			for _, m := range testkit.Messages(t, js, contract.StreamAudit) {
				var r audit.Record
				if err := json.Unmarshal(m.Data(), &r); err != nil || m.Subject() != contract.SubjectAudit+r.Action {
					t.Errorf("%+v is on %s: %v", r, m.Subject(), err)
				}
				records, have = append(records, r), have+r.Count
			}
			read = n
		}
		if have != actions {
			return fmt.Errorf("%d actions are recorded, want %d: %+v", have, actions, records)
		}
		return nil
	})
	return records
}

// summary returns the action, the stream and the outcome of a record.
func summary(r audit.Record) string {
	return strings.TrimSpace(r.Action + " " + r.Stream + " " + r.Error)
}

func TestAudit_RecordsWhatAdministratorsDo(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "")
	a, out := openLogged(t, text)
	js := adminJetStream(t, a, site)
	ctx := t.Context()
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Description: writeToken(t, a)}
	s, err := js.CreateStream(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := js.Publish(ctx, "s.x", nil); err != nil {
			t.Fatal(err)
		}
	}
	cfg.MaxMsgs = 5
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSubject("s.x")); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(ctx, "S"); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(ctx, "T"); err == nil {
		t.Fatal("a stream was deleted that does not exist")
	}
	if _, err := js.Conn().Request(contract.SubjectAcceptLoss+"S", nil, wait.Limit); err != nil {
		t.Fatal(err)
	}

	records := auditRecords(t, js, 8)
	var have []string
	for _, r := range records {
		have = append(have, summary(r))
		if r.Identity != "admin" || r.Address != "127.0.0.1" || r.Connection == 0 || time.Since(r.Time) > time.Minute {
			t.Errorf("%+v", r)
		}
	}
	want := []string{
		"connect", "stream-create S", "stream-update S", "message-delete S", "stream-purge S", "stream-delete S",
		"stream-delete T stream not found (10059)", "accept-loss S nothing is known to be lost of S",
	}
	if !slices.Equal(have, want) {
		t.Fatalf("recorded %q, want %q", have, want)
	}
	if records[0].Proof != "admin.token" || !strings.Contains(string(records[2].Config), `"max_msgs":5`) ||
		records[3].Sequence != 2 || records[4].Filter != "s.x" || records[4].Purged != 2 {
		t.Errorf("%+v", records)
	}
	wantNoToken(t, a, records, out)
}

// wantNoToken fails the test if the records or the log contain a token, or if the log lacks a record.
func wantNoToken(t *testing.T, a *appliance.Appliance, records []audit.Record, out *logBuffer) {
	t.Helper()
	data, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := os.ReadFile(filepath.Join(a.DataDir(), "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{string(admin), writeToken(t, a)} {
		if bytes.Contains(data, []byte(token)) || strings.Contains(out.String(), token) {
			t.Errorf("a token is recorded: %s\n%s", data, out)
		}
	}
	for _, r := range records {
		line := fmt.Sprintf(" identity=%s address=%s connection=%d ", r.Identity, r.Address, r.Connection)
		if r.Stream != "" {
			line = fmt.Sprintf("administrator's action: action=%s stream=%s", r.Action, r.Stream) + line
		}
		if !strings.Contains(out.String(), line) {
			t.Errorf("the log lacks %q:\n%s", line, out)
		}
	}
}

// certifiedNode returns a node with a certificate.
func certifiedNode(t *testing.T, site *enroll.Site) *simnode.Node {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	n, err := simnode.NewNode(0, simnode.NodeOptions{Site: site, RSA: key})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAudit_OthersMakeNoRecords has a node do what it may, and try what only administrators may.
func TestAudit_OthersMakeNoRecords(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "")
	a := testkit.Appliance(t, text)
	n := certifiedNode(t, site)
	ignored := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	options := append(n.Options(n.Identity, site.Roots()), ignored)
	nc := testkit.Connect(t, a, options...)
	for _, subject := range []string{
		"$JS.API.STREAM.PURGE." + contract.StreamRegistration, "$JS.API.STREAM.DELETE." + contract.StreamAudit,
		contract.SubjectAcceptLoss + contract.StreamRegistration, contract.SubjectAudit + contract.ActionConnect,
		contract.SubjectAPI + "STREAM.PURGE." + contract.StreamRegistration,
	} {
		if err := nc.PublishRequest(subject, "mcollective.reply.x", nil); err != nil {
			t.Fatal(err)
		}
	}
	publishAll(t, nc, n, 3, func(int) string { return testkit.Subject })
	testkit.Settled(t, a, "registration", 3)
	js := adminJetStream(t, a, site)
	if records := auditRecords(t, js, 1); records[0].Action != contract.ActionConnect {
		t.Errorf("%+v", records)
	}
}

// TestAudit_AFloodMakesFewRecords purges a stream in a lab, where every connection is an administrator and
// connections are not recorded.
func TestAudit_AFloodMakesFewRecords(t *testing.T) {
	t.Parallel()
	const purges = 5000
	a := testkit.Appliance(t, "")
	js := testkit.JetStream(t, a)
	cfg := jetstream.StreamConfig{Name: "S", Storage: jetstream.MemoryStorage}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	answers, err := js.Conn().SubscribeSync("answers")
	if err != nil {
		t.Fatal(err)
	}
	for range purges {
		if err := js.Conn().PublishRequest("$JS.API.STREAM.PURGE.S", "answers", nil); err != nil {
			t.Fatal(err)
		}
	}
	for range purges {
		if _, err := answers.NextMsg(wait.Limit); err != nil {
			t.Fatal(err)
		}
	}
	if records := auditRecords(t, js, purges+1); len(records) > 10 {
		t.Errorf("%d records", len(records))
	}
	if recorded, unrecorded := a.AuditCounts(); recorded != purges+1 || unrecorded != 0 {
		t.Errorf("%d recorded, %d not", recorded, unrecorded)
	}
}

// TestAudit_NoClientChangesTheStream has an administrator try to remove records.
func TestAudit_NoClientChangesTheStream(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	js := testkit.JetStream(t, a)
	s, err := js.Stream(t.Context(), contract.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err == nil {
		t.Error("purged")
	}
	auditRecords(t, js, 1)
	if err := s.DeleteMsg(t.Context(), 1); err == nil {
		t.Error("deleted")
	}
	if err := js.Conn().Publish(contract.SubjectAudit+"forged", nil); err != nil {
		t.Fatal(err)
	}
	auditRecords(t, js, 2)
}

// TestAudit_NamesTheSystemUserAndKeepsItFromTheAPI has the system user send requests that would be recorded
// as another connection's, or not at all.
func TestAudit_NamesTheSystemUserAndKeepsItFromTheAPI(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "[broker.system]\nuser = 'sys'\npassword = 'secret'\n[broker.roles]\nadmin = ['*']\n")
	a := testkit.Appliance(t, text)
	n := certifiedNode(t, site)
	ignored := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	options := append(n.Options(n.Identity, site.Roots()), ignored)
	system := testkit.Connect(t, a, append(options, nats.UserInfo("sys", "secret"))...)
	forged := nats.Header{"Nats-Request-Info": {`{"acc":"choria","id":7,"user":"web1","kind":"Client"}`}}
	for _, subject := range []string{"$JS.API.", contract.SubjectAPI, contract.SubjectChecked, contract.SubjectRawAPI} {
		m := &nats.Msg{Subject: subject + "STREAM.DELETE." + contract.StreamRejected, Reply: "x", Header: forged}
		if err := system.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := system.Flush(); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(testkit.Connect(t, a, options...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), contract.StreamRejected); err != nil {
		t.Errorf("the system user deleted a stream: %v", err)
	}
	records := auditRecords(t, js, 2)
	if records[0].Identity != "sys" || records[0].Proof != "password" || records[1].Proof != "certificate" {
		t.Errorf("%+v", records)
	}
}

// TestAcceptLoss_IgnoresWhatNoClientSent has JetStream send a request to accept a loss.
func TestAcceptLoss_IgnoresWhatNoClientSent(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	js := testkit.JetStream(t, a)
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.MemoryStorage}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", nil); err != nil {
		t.Fatal(err)
	}
	forged := contract.SubjectAcceptLoss + "FORGED"
	sent, err := js.Conn().SubscribeSync(forged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreatePushConsumer(t.Context(), "S", jetstream.ConsumerConfig{DeliverSubject: forged}); err != nil {
		t.Fatal(err)
	}
	if _, err := sent.NextMsg(wait.Limit); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Conn().Request(contract.SubjectAcceptLoss+"T", nil, wait.Limit); err != nil {
		t.Fatal(err)
	}
	if records := auditRecords(t, js, 2); records[1].Stream != "T" {
		t.Errorf("%+v", records)
	}
}
