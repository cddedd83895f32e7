package appliance_test

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// attacker is a connection that tries to write to private streams, and records what it receives.
type attacker struct {
	nc       *nats.Conn
	inbox    string
	received *recorder // nil: the connection is encrypted
}

// recorder is a connection that keeps what it reads.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	data []byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data = append(r.data, b[:n]...)
	return n, err
}

// keep adds what the connection has received in another form.
func (r *recorder) keep(data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data = append(r.data, data...)
}

func (r *recorder) contains(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.data, []byte(text))
}

// around returns what was received around a text.
func (r *recorder) around(text string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := bytes.Index(r.data, []byte(text))
	return r.data[max(i-300, 0):min(i+300, len(r.data))]
}

// Dial makes the recorder a nats.CustomDialer.
func (r *recorder) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	r.Conn = conn
	return r, err
}

// roles are what a connection with a token can be that is not an administrator, each with its permissions
// and what its token adds.
var roles = map[string]choria.Claims{
	"node": {Purpose: choria.PurposeServer, Permissions: map[string]bool{}},
	"node with all": {
		Purpose:     choria.PurposeServer,
		Permissions: map[string]bool{"submission": true, "streams": true, "governor": true, "service_host": true},
		PubSubjects: []string{"cmdb.>", "$JS.API.>", "muster.>", "*.x"},
	},
	"client":        {Purpose: choria.PurposeClient},
	"election user": {Purpose: choria.PurposeClient, Permissions: map[string]bool{"election_user": true}},
	"streams user":  {Purpose: choria.PurposeClient, Permissions: map[string]bool{"streams_user": true}},
	"client with all": {
		Purpose: choria.PurposeClient,
		Permissions: map[string]bool{
			"fleet_management": true, "events_viewer": true, "election_user": true, "streams_user": true, "governor": true,
		},
		PubSubjects: []string{"$KV.>", "$O.>", "choria.>", "x.>", "muster.write.*.>", "$JS.*.API.STREAM.INFO.*"},
		SubSubjects: []string{">", "$JS.EVENT.>"},
	},
}

// connectAs connects in a role, with a token of the site.
func connectAs(t *testing.T, a *appliance.Appliance, site *enroll.Site, role string, encrypted bool) *attacker {
	t.Helper()
	claims := roles[role]
	name := strings.ReplaceAll(role, " ", "-")
	claims.OrgUnit, claims.Identity, claims.Collectives = "choria", name, []string{"choria"}
	if claims.Purpose == choria.PurposeClient {
		name = "choria=" + name
		claims.CallerID, claims.Identity = name, ""
	}
	return connect(t, a, testkit.IssueToken(t, site, claims), site, name, encrypted)
}

// connect connects with the credentials. The inbox is that of a connection with a token.
func connect(
	t *testing.T, a *appliance.Appliance, c simnode.Credentials, site *enroll.Site, name string, encrypted bool,
) *attacker {
	t.Helper()
	at := &attacker{inbox: "choria.reply." + fmt.Sprintf("%x", md5.Sum([]byte(name)))}
	if c.Token == "" {
		at.inbox = "choria.reply.x"
	}
	options := c.Options(name, nil)
	if encrypted {
		options = c.Options(name, site.Roots())
	} else {
		at.received = new(recorder)
		options = append(options, nats.SetCustomDialer(at.received))
	}
	at.nc = testkit.Connect(t, a, append(options, nats.CustomInboxPrefix(at.inbox),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	return at
}

// apiRequest is a request to JetStream's API.
type apiRequest struct{ operation, data string }

// apiRequests returns requests about a stream, some with data that makes JetStream publish to the target.
func apiRequests(stream, target string) []apiRequest {
	push := fmt.Sprintf(`{"stream_name":%q,"config":{"deliver_subject":%q,"deliver_policy":"all","ack_policy":"none"}}`,
		stream, target)
	acked := strings.Replace(push, `"none"`, `"explicit","durable_name":"D"`, 1)
	republish := fmt.Sprintf(`{"name":%q,"subjects":["y.>"],"republish":{"src":">","dest":%q}}`, stream, target)
	return []apiRequest{
		{"STREAM.LIST", ""},
		{"STREAM.LIST", `{"subject":"choria.node_metadata.x"}`},
		{"STREAM.NAMES", `{"subject":"muster.write.*.>"}`},
		{"STREAM.INFO." + stream, ""},
		{"STREAM.INFO." + stream, `{"subjects_filter":">","deleted_details":true}`},
		{"STREAM.MSG.GET." + stream, `{"last_by_subj":">"}`},
		{"DIRECT.GET." + stream, `{"seq":1}`},
		{"DIRECT.GET." + stream, `{"seq":1000000}`}, // has an empty answer
		{"CONSUMER.LIST." + stream, ""},
		{"CONSUMER.CREATE." + stream, push},
		{"CONSUMER.CREATE." + stream + ".D", acked},
		{"CONSUMER.DURABLE.CREATE." + stream + ".D", acked},
		{"CONSUMER.INFO." + stream + ".D", ""},
		{"CONSUMER.MSG.NEXT." + stream + ".D", "10"},
		{"STREAM.CREATE." + stream, republish},
		{"STREAM.UPDATE." + stream, republish},
		{"STREAM.RESTORE." + stream, `{"config":` + republish + `}`},
		{"STREAM.SNAPSHOT." + stream, fmt.Sprintf(`{"deliver_subject":%q}`, target)},
	}
}

// attack names the target in every way that makes JetStream or the server publish there, if the attacker may: as
// reply subject, as subject of a consumer, as subject of a republished message. It also publishes there itself.
func (at *attacker) attack(t *testing.T, target string, streams ...string) {
	t.Helper()
	trace := nats.Header{
		"Nats-Trace-Dest": {at.inbox + ".trace"}, "Nats-Request-Info": {`{"acc":"choria","id":1,"kind":"Client"}`},
	}
	send := func(subject, reply, data string, header nats.Header) {
		m := &nats.Msg{Subject: subject, Reply: reply, Data: []byte(data), Header: header}
		if err := at.nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{
		"choria.submission.in.choria.executor.x", "choria.governor.G", "$KV.CONFIG.x", "$KV.CHORIA_LEADER_ELECTION.x",
		"$O.x", "choria.lifecycle.event.alive.x", "choria.machine.transition", "choria.reply.x",
		"$JS.ACK.KV_CONFIG.D.1.1.1.1.0", "$JS.FC.KV_CONFIG.D.x", "$JS.API.INFO", "$SYS.REQ.USER.INFO", target,
		"muster.write.x." + target, contract.WritePrefix(strings.Repeat("0", 32)) + target,
	} {
		send(subject, target, "+NXT", nil)
		send(subject, target, "x", trace)
	}
	for _, stream := range streams {
		for _, r := range apiRequests(stream, target) {
			for _, prefix := range []string{"$JS.API.", "$JS.hub.API.", "muster.api."} {
				send(prefix+r.operation, target, r.data, nil)
			}
			send("$JS.API."+r.operation, at.inbox+".answer", r.data, trace)
		}
	}
	if err := at.nc.FlushTimeout(wait.Limit); err != nil {
		t.Fatal(err)
	}
}

// hostileConfig configures everything that a node or client can make publish.
const hostileConfig = keepAll + "[fleet]\nadvisories = true\n[jetstream]\ndomain = 'hub'\n" +
	"[bucket.CONFIG]\n[stream.GOVERNOR_G]\nsubjects = 'choria.governor.G'\n"

// lastSequences returns the last sequence of each private stream.
func lastSequences(t *testing.T, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	last := map[string]uint64{}
	for stream := range privateStreams {
		s, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		last[stream] = s.CachedInfo().State.LastSeq
	}
	return last
}

// TestPrivateStreams_OnlyTheApplianceWritesToThem has every role make JetStream and the server publish to the
// public subjects of the private streams, to subjects with a guessed token, and to JetStream's API: with an empty
// answer they could delete a stream.
func TestPrivateStreams_OnlyTheApplianceWritesToThem(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "")
	a := testkit.Appliance(t, hostileConfig+"[broker]\ncollectives = ['choria']\n"+
		"[broker.roles]\nstreams = ['trusted.*']\ngovernor = ['trusted.*']\n"+text)
	js := adminJetStream(t, a, site)
	if _, err := js.Publish(t.Context(), "$KV.CONFIG.color", []byte("green")); err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	o := simnode.NodeOptions{Site: site, RSA: key}
	n, err := simnode.NewNode(0, o)
	if err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a, n.Options(n.Identity, site.Roots())...)
	publishAll(t, nc, n, 1, func(int) string { return testkit.Subject })
	wantMessages(t, js, contract.StreamFleet, 1)
	wantMessages(t, js, contract.StreamAdvisories, 1)
	before := lastSequences(t, js)

	targets := map[string]*atomic.Uint64{}
	for _, subject := range privateStreams {
		target := strings.TrimSuffix(subject, ">") + strings.Repeat("web2", strings.Count(subject, ">"))
		count := new(atomic.Uint64)
		targets[target] = count
		if _, err := js.Conn().Subscribe(target, func(*nats.Msg) { count.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	attackers := map[string]*attacker{}
	for role := range roles {
		attackers[role] = connectAs(t, a, site, role, true)
	}
	for _, name := range []string{"node.example", "trusted.example", "ops.mcollective"} {
		c, err := o.NewCredentials(name, choria.V1)
		if err != nil {
			t.Fatal(err)
		}
		attackers["certificate "+name] = connect(t, a, c, site, name, true)
	}
	registrations, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registrations.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "cmdb"}); err != nil {
		t.Fatal(err)
	}
	requests := []string{
		"$JS.API.STREAM.DELETE.CHORIA_REGISTRATION", "$JS.API.STREAM.PURGE.CHORIA_REGISTRATION",
		"$JS.API.STREAM.DELETE.GOVERNOR_G", "$JS.API.CONSUMER.DELETE.CHORIA_REGISTRATION.cmdb",
		"muster.api.STREAM.DELETE.MUSTER_FLEET", "muster.raw.STREAM.DELETE.MUSTER_FLEET",
	}
	harmless := map[string]bool{"node": true, "client": true}
	for role, at := range attackers {
		for _, request := range requests {
			at.attack(t, request, "KV_CONFIG")
		}
		for target, forged := range targets {
			forged.Store(0)
			at.attack(t, target, "KV_CONFIG", "CHORIA_EXECUTOR", contract.StreamFleet)
			if harmless[role] {
				continue
			}
			wait.Eventually(t, func() error { // the attack is real: live subscribers see it
				if forged.Load() == 0 {
					return fmt.Errorf("%s made nothing publish to %s", role, target)
				}
				return nil
			})
		}
	}
	if after := lastSequences(t, js); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("last sequences were %v, are %v", before, after)
	}
	wantMessages(t, js, contract.StreamRegistration, 1)
	wantMessages(t, js, contract.StreamFleet, 1)
	_, err = js.Consumer(t.Context(), contract.StreamRegistration, "cmdb")
	_, deleted := js.Stream(t.Context(), "GOVERNOR_G")
	if err = errors.Join(err, deleted); err != nil {
		t.Error(err)
	}
}

// TestPrivateStreams_OnlyAdministratorsLearnTheToken has every role subscribe to everything and ask
// everything, while messages are stored and an administrator changes a stream. No byte that it receives, no
// page of the console and no line of the log has the token.
func TestPrivateStreams_OnlyAdministratorsLearnTheToken(t *testing.T) {
	t.Parallel()
	site, _ := newSite(t, "")
	issuers := fmt.Sprintf("[broker.issuers]\nchoria = %q\n", site.IssuerKey())
	a, log, closeAppliance := reopen(t, t.TempDir(), hostileConfig+issuers)
	token := writeToken(t, a)
	secret, err := os.ReadFile(filepath.Join(a.DataDir(), "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	received := new(recorder)
	admin, err := jetstream.New(testkit.Connect(t, a, nats.Token(string(secret)), nats.SetCustomDialer(received)))
	if err != nil {
		t.Fatal(err)
	}
	attackers := map[string]*attacker{}
	for role := range roles {
		attackers[role] = connectAs(t, a, site, role, false)
		attackers[role].subscribeEverything(t)
	}
	n, err := simnode.NewNode(1, simnode.NodeOptions{Site: site})
	if err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a, n.Options(n.Identity, nil)...)
	publishAll(t, nc, n, 1, func(int) string { return testkit.Subject })
	if err := nc.Publish(testkit.Subject, []byte("not a registration")); err != nil {
		t.Fatal(err)
	}
	wantMessages(t, admin, contract.StreamAdvisories, 1)
	wantMessages(t, admin, contract.StreamRejected, 1)
	edit := updateStream(func(cfg *jetstream.StreamConfig) { cfg.Description = "edited" })
	if err := edit(t.Context(), admin, contract.StreamFleet); err != nil {
		t.Fatal(err)
	}
	snapshot(t, admin.Conn())
	for role, at := range attackers {
		at.attack(t, at.inbox+".answer", "KV_CONFIG", "GOVERNOR_G", "CHORIA_STREAM_ADVISORIES", contract.StreamRegistration,
			contract.StreamRejected, contract.StreamFleet, contract.StreamAdvisories)
		if !at.received.contains("ermission") {
			t.Errorf("%s was refused nothing", role)
		}
	}
	attackers["streams user"].readAll(t, "CHORIA_STREAM_ADVISORIES")
	wait.Eventually(t, func() error {
		for _, stream := range []string{"choria.node_metadata.", "muster.fleet.", "muster.rejected."} {
			if !attackers["streams user"].received.contains(`"subjects":["` + stream) {
				return fmt.Errorf("a client that may use streams does not see the stream of %s", stream)
			}
		}
		return nil
	})
	for role, at := range attackers {
		if err := at.nc.FlushTimeout(wait.Limit); err != nil {
			t.Fatal(err)
		}
		if at.received.contains(token) {
			t.Errorf("%s has received the token: %q", role, at.received.around(token))
		}
	}
	if received.contains(token) {
		t.Error("an administrator has received the token without asking for it")
	}
	if _, err := admin.Conn().Subscribe("muster.write.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(admin.Conn().Flush(), nc.Publish(testkit.Subject, []byte("not a registration"))); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error { // otherwise this test does not see what is received
		if !received.contains(token) {
			return errors.New("an administrator that subscribes to it does not receive the token")
		}
		return nil
	})
	for _, path := range []string{
		"/varz", "/connz?subs=1", "/connz?subs=detail&auth=1&state=all", "/routez?subs=1", "/gatewayz", "/leafz?subs=1",
		"/subsz?subs=1&limit=10000", "/jsz?config=1&streams=1&consumers=1&accounts=1&raft=1", "/accountz",
		"/accountz?acc=choria", "/accountz?acc=system", "/accstatz?unused=1", "/ipqueuesz?all=1",
		"/healthz?details=1", "/api/v1/streams", "/metrics",
		"/choria/prometheus", "/readyz", "/api/v1/rejected",
	} {
		status, page := testkit.Get(t, a, path)
		if strings.Contains(page, token) || status == http.StatusNotFound || status == http.StatusBadRequest {
			t.Errorf("%s has the token: %v; status %d", path, strings.Contains(page, token), status)
		}
	}
	for _, at := range attackers {
		at.nc.Close()
	}
	closeAppliance()
	if strings.Contains(log.String(), token) {
		t.Error("the log has the token")
	}
}

// subscribeEverything subscribes to everything, as far as the broker allows it.
func (at *attacker) subscribeEverything(t *testing.T) {
	t.Helper()
	for _, subject := range []string{
		">", "*.>", "*.*.*.*", "muster.>", "muster.write.>", "muster.write.*.>", "muster.*.*.choria.>",
		"muster.api.>", "$JS.>", "$JS.EVENT.>", "$JS.EVENT.ADVISORY.API", "$JS.EVENT.*.API", "$SYS.>", "_INBOX.>", "_R_.>",
		"choria.>", at.inbox + ".>",
	} {
		if _, err := at.nc.Subscribe(subject, func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := at.nc.FlushTimeout(wait.Limit); err != nil {
		t.Fatal(err)
	}
}

// readAll reads all messages of a stream, once the requests of attacks are answered: so many of one identity may wait.
func (at *attacker) readAll(t *testing.T, stream string) {
	t.Helper()
	wait.Eventually(t, func() error {
		m, err := at.nc.Request("$JS.API.STREAM.INFO."+stream, nil, wait.Limit)
		if err == nil && bytes.Contains(m.Data, []byte(`"err_code":10008`)) {
			err = errors.New("requests of attacks wait")
		}
		return err
	})
	for sequence := 1; ; sequence++ {
		m, err := at.nc.Request("$JS.API.STREAM.MSG.GET."+stream, fmt.Appendf(nil, `{"seq":%d}`, sequence), wait.Limit)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(m.Data, []byte(`"error"`)) {
			if sequence == 1 {
				t.Errorf("%s is empty: %s", stream, m.Data)
			}
			return
		}
		var stored struct{ Message struct{ Data []byte } }
		if err := json.Unmarshal(m.Data, &stored); err != nil {
			t.Fatal(err)
		}
		at.received.keep(stored.Message.Data)
	}
}
