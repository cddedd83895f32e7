package broker

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// recordedAt is a time at which the tokens of the recording are valid.
var recordedAt = time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)

// operation is an operation of NATS's protocol in the recording: see testdata/provisioning/README.md.
type operation struct {
	Conn int    // number of the connection
	From string // client, server, or end: the connection ended
	Line string
	Data string
}

// recording returns the file of a recording.
func recording(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/provisioning/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func recordedOperations(t *testing.T) (all []operation) {
	t.Helper()
	for line := range strings.Lines(recording(t, "recording.jsonl")) {
		var op operation
		if err := json.Unmarshal([]byte(line), &op); err != nil {
			t.Fatal(err)
		}
		all = append(all, op)
	}
	return all
}

// replay are the connections of a recording that is played back.
type replay struct {
	t     *testing.T
	site  *site
	conns map[int]*nats.Conn
	subs  map[int]map[string]*nats.Subscription // by connection and id
	sent  map[string]int                        // messages that clients published, by the first two tokens of the subject
}

func newReplay(t *testing.T, s *site) *replay {
	return &replay{
		t: t, site: s, conns: map[int]*nats.Conn{}, subs: map[int]map[string]*nats.Subscription{}, sent: map[string]int{},
	}
}

// key returns the key of the holder of a token.
func (r *replay) key(token string) ed25519.PrivateKey {
	r.t.Helper()
	file := "signer.seed"
	if choria.TokenPurpose(token) == choria.PurposeServer {
		file = "server.seed"
	}
	seed, err := hex.DecodeString(recording(r.t, file))
	if err != nil {
		r.t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

// connectOptions returns the options to send the CONNECT of a recording, with the nonce of this connection signed.
func (r *replay) connectOptions(line string) []nats.Option {
	r.t.Helper()
	var c struct {
		Token string `json:"auth_token"`
		JWT   string `json:"jwt"`
		User  string `json:"user"`
		Pass  string `json:"pass"`
		Name  string `json:"name"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "CONNECT ")), &c); err != nil {
		r.t.Fatal(err)
	}
	options := []nats.Option{r.site.anonymous(), nats.Name(c.Name), nats.Token(c.Token)}
	if c.JWT != "" {
		options = append(options, holder{c.Token, r.key(c.Token)}.options()...)
	}
	if c.User != "" {
		options = append(options, nats.UserInfo(c.User, c.Pass))
	}
	return options
}

// play does what a client did, or checks that what the server sent arrives again.
func (r *replay) play(op operation) {
	r.t.Helper()
	fields := strings.Fields(op.Line)
	switch {
	case op.From == "end":
		mustClose(r.t, r.site, r.conns[op.Conn])
	case fields[0] == "CONNECT":
		nc, err := r.site.connect(r.connectOptions(op.Line)...)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(nc.Close)
		r.conns[op.Conn], r.subs[op.Conn] = nc, map[string]*nats.Subscription{}
	case fields[0] == "SUB":
		r.subscribe(op.Conn, fields[1:])
	case op.From == "client":
		r.publish(op, fields[1:])
	default:
		r.wantMessage(op, fields[1], fields[2])
	}
	if nc := r.conns[op.Conn]; op.From == "client" {
		if err := nc.Flush(); err != nil {
			r.t.Fatal(err)
		}
		if err := nc.LastError(); err != nil {
			r.t.Fatalf("connection %d, %s: %v", op.Conn, op.Line, err)
		}
	}
}

func (r *replay) subscribe(conn int, fields []string) {
	r.t.Helper()
	queue := ""
	if len(fields) == 3 {
		queue = fields[1]
	}
	sub, err := r.conns[conn].QueueSubscribeSync(fields[0], queue)
	if err != nil {
		r.t.Fatal(err)
	}
	r.subs[conn][fields[len(fields)-1]] = sub
}

func (r *replay) publish(op operation, fields []string) {
	r.t.Helper()
	m := &nats.Msg{Subject: fields[0], Data: []byte(op.Data)}
	sizes := 1
	if strings.HasPrefix(op.Line, "HPUB") {
		sizes = 2
		head, body, _ := strings.Cut(op.Data, "\r\n\r\n")
		_, head, _ = strings.Cut(head, "\r\n")
		header, err := textproto.NewReader(bufio.NewReader(bytes.NewBufferString(head + "\r\n\r\n"))).ReadMIMEHeader()
		if err != nil {
			r.t.Fatal(err)
		}
		m.Header, m.Data = nats.Header(header), []byte(body)
	}
	if len(fields) > sizes+1 {
		m.Reply = fields[1]
	}
	if err := r.conns[op.Conn].PublishMsg(m); err != nil {
		r.t.Fatal(err)
	}
	first, rest, _ := strings.Cut(m.Subject, ".")
	second, _, _ := strings.Cut(rest, ".")
	r.sent[first+"."+second]++
}

// wantMessage waits for a message that the recording has. JetStream's answers have times and sizes of their own.
func (r *replay) wantMessage(op operation, subject, id string) {
	r.t.Helper()
	m, err := r.subs[op.Conn][id].NextMsg(wait.Limit)
	if err != nil {
		r.t.Fatalf("connection %d, %s: %v", op.Conn, op.Line, err)
	}
	fromJetStream := strings.Contains(op.Data, "KV_CHORIA_LEADER_ELECTION")
	if m.Subject != subject || !fromJetStream && string(m.Data) != op.Data {
		r.t.Errorf("connection %d: have %s %.80q, want %s", op.Conn, m.Subject, m.Data, op.Line)
	}
	if fromJetStream && strings.Contains(string(m.Data), `"error"`) {
		r.t.Errorf("%s: %s", subject, m.Data)
	}
}

// TestProvisioning_ReplaysRecording plays back how Choria's provisioner and a Choria server in provisioning mode
// worked with each other: from the refusal, while provisioning is off, to the registration.
func TestProvisioning_ReplaysRecording(t *testing.T) {
	operations := recordedOperations(t)
	issuer, err := choria.PublicKey(recording(t, "issuer.public"))
	if err != nil {
		t.Fatal(err)
	}
	password := recordedPassword(t, operations)
	began := time.Now()
	open := func(password string) *site {
		return openSiteWith(t, func(_ *site, c *Config, o *Options) {
			c.Issuers = choria.Issuers{"choria": issuer}
			c.Provisioning.ClientPassword = password
			o.Now = func() time.Time { return recordedAt.Add(time.Since(began)) }
		})
	}
	off := open("")
	for _, conn := range []int{1, 6} { // the provisioner's first connection, and that of the server
		off.mustRefuse(t, "provisioning", newReplay(t, off).connectOptions(connectLine(operations, conn))...)
	}

	s := open(password)
	election := jetstream.KeyValueConfig{Bucket: "CHORIA_LEADER_ELECTION"}
	if _, err := jetStreamOf(t, s.broker).CreateKeyValue(t.Context(), election); err != nil {
		t.Fatal(err)
	}
	nodes := internalConn(t, s.broker)
	seen, err := nodes.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := nodes.Flush(); err != nil {
		t.Fatal(err)
	}
	r := newReplay(t, s)
	for _, op := range operations {
		r.play(op)
	}
	if r.sent["provisioning.node"] != 5 || r.sent["provisioning.reply"] != 5 {
		t.Errorf("the recording has another number of requests than expected: %v", r.sent)
	}
	arrived := wantArrived(t, seen, "choria.lifecycle.event.startup.server", "choria.broadcast.agent.registration",
		"choria.lifecycle.event.shutdown.server")
	registration, err := new(choria.Parser).Request(arrived[1].Data)
	if err != nil {
		t.Fatal(err)
	}
	how, err := s.broker.opts.Verifier.Verify(registration, recordedAt)
	if how != choria.VerifiedJWT || err != nil || registration.Sender != "new1.example.net" {
		t.Errorf("the registration is of %q, verified by %q: %v", registration.Sender, how, err)
	}
	for reason, n := range s.broker.auth.refusals.snapshot() {
		if n > 0 {
			t.Errorf("%d connections were refused for %s", n, reason)
		}
	}
	if refused, _ := s.broker.RefusedPermissions(); len(refused) > 0 {
		t.Errorf("refused %+v", refused)
	}
}

// connectLine returns the CONNECT of a connection.
func connectLine(operations []operation, conn int) string {
	for _, op := range operations {
		if op.Conn == conn && strings.HasPrefix(op.Line, "CONNECT ") {
			return op.Line
		}
	}
	return ""
}

// recordedPassword returns the provisioner's password.
func recordedPassword(t *testing.T, operations []operation) string {
	t.Helper()
	var c struct{ User, Pass string }
	err := json.Unmarshal([]byte(strings.TrimPrefix(connectLine(operations, 1), "CONNECT ")), &c)
	if err != nil || c.User != provisioner || c.Pass == "" {
		t.Fatalf("the first connection is not that of the provisioner: %+v %v", c, err)
	}
	return c.Pass
}

// wantArrived waits for messages on the subjects, and no others, in that order, and returns them. It ignores those of
// JetStream and the election.
func wantArrived(t *testing.T, seen *nats.Subscription, subjects ...string) (arrived []*nats.Msg) {
	t.Helper()
	for len(arrived) < len(subjects) {
		m, err := seen.NextMsg(wait.Limit)
		if err != nil {
			t.Fatalf("%s did not arrive: %v", subjects[len(arrived)], err)
		}
		if strings.HasPrefix(m.Subject, "$") || strings.HasPrefix(m.Subject, "_") {
			continue
		}
		if want := subjects[len(arrived)]; m.Subject != want {
			t.Fatalf("%s arrived in the account of the nodes, want %s", m.Subject, want)
		}
		arrived = append(arrived, m)
	}
	return arrived
}
