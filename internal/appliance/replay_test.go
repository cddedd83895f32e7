package appliance_test

import (
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// These tests send again what real Choria processes have sent: subjects, reply subjects, headers and bodies.

// capturedNode is the node that sent the captured submissions, in the collective choria.
const capturedNode = "node3.example.net"

// submitter is a connection that submits messages as Choria does.
type submitter struct {
	*nats.Conn
	name, collective, inbox string
}

// newSubmitter connects as the column with that title. The column capturedNode has a token for the collective choria.
func (s *permissionSite) newSubmitter(t *testing.T, title, collective string) submitter {
	t.Helper()
	if title != capturedNode {
		c, inbox := choriaColumn(t, title)
		return submitter{s.connectAsChoria(t, title), c.name, collective, inbox}
	}
	claims := choria.ServerClaims(capturedNode, []string{collective}, nil)
	claims.Permissions = map[string]bool{"submission": true}
	inbox := fmt.Sprintf("%s.reply.%x", collective, md5.Sum([]byte(capturedNode)))
	nc := s.connect(t, column{name: capturedNode, token: &claims}, nats.CustomInboxPrefix(inbox))
	return submitter{nc, capturedNode, collective, inbox}
}

// message returns a captured submission as the submitter sends it: in its collective, with its identity and inbox, and
// its own message id. What capturedNode sends is the capture itself.
func (n submitter) message(t *testing.T, c testkit.Capture) *nats.Msg {
	t.Helper()
	_, rest, _ := strings.Cut(c.Subject, ".")
	m := &nats.Msg{Subject: n.collective + "." + rest, Header: nats.Header{}, Data: testkit.Raw(t, c.File)}
	for name, values := range c.Headers {
		m.Header[name] = slices.Clone(values)
	}
	if c.Reply != "" {
		tokens := strings.Split(c.Reply, ".") // the last two are random
		m.Reply = n.inbox + "." + strings.Join(tokens[len(tokens)-2:], ".")
	}
	if n.name == capturedNode {
		if m.Subject != c.Subject || m.Reply != c.Reply {
			t.Fatalf("%s %s was captured, not %s %s", c.Subject, c.Reply, m.Subject, m.Reply)
		}
		return m
	}
	m.Header.Set("Choria-Identity", n.name)
	m.Header.Set("Nats-Msg-Id", m.Header.Get("Nats-Msg-Id")+" "+n.name+" "+n.collective)
	return m
}

// replay publishes a message and returns the answer, if it has a reply subject. It subscribes to the reply subject as
// nats.go does. The error is that the connection may not do one of both.
func replay(t *testing.T, nc *nats.Conn, m *nats.Msg) (answer string, err error) {
	t.Helper()
	var answers *nats.Subscription
	if m.Reply != "" {
		if answers, err = nc.SubscribeSync(m.Reply[:strings.LastIndex(m.Reply, ".")] + ".*"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answers.Unsubscribe() }()
	}
	if err := nc.PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	if err := nc.LastError(); err != nil || answers == nil {
		return "", err
	}
	received, err := answers.NextMsg(wait.Limit)
	if err != nil {
		t.Fatalf("%s: %v", m.Subject, err)
	}
	return string(received.Data), nil
}

// wantDenied sends a message and expects that the connection may not do so, or not receive its answer.
func wantDenied(t *testing.T, nc *nats.Conn, m *nats.Msg, operation string) {
	t.Helper()
	answer, err := replay(t, nc, m)
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(strings.ToLower(err.Error()), operation) {
		t.Errorf("%s is answered with %q, and the error is %v", m.Subject, answer, err)
	}
}

// hubAck returns an ack of a permissionSite, which has the domain hub.
func hubAck(stream string, sequence uint64, rest string) string {
	return fmt.Sprintf(`{"stream":%q,"domain":"hub","seq":%d%s}`, stream, sequence, rest)
}

// newSubmissionStream makes a stream for what CHORIA_EXECUTOR does not store.
func (s *permissionSite) newSubmissionStream(t *testing.T) {
	t.Helper()
	subjects := []string{"mcollective.submission.in.>", "choria.submission.in.demo.>"}
	stream := jetstream.StreamConfig{Name: "SUBMITTED", Subjects: subjects}
	if _, err := s.js.CreateStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
}

// TestReplay_SubmissionsAreStoredOnce submits each captured message twice, as Choria does when it has received no ack.
func TestReplay_SubmissionsAreStoredOnce(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	s.newSubmissionStream(t)
	captures := testkit.Captures(t, "submission")
	for _, r := range []struct{ title, collective string }{
		{"node with roles", "mcollective"},
		{"compatible node", "mcollective"},
		{"compatible node", "choria"},
		{"node, token with all", "mcollective"},
		{capturedNode, "choria"},
	} {
		t.Run(r.title+" in "+r.collective, func(t *testing.T) {
			n := s.newSubmitter(t, r.title, r.collective)
			for _, c := range captures {
				n.submitTwice(t, s, c)
			}
		})
	}
}

// submitTwice submits a captured message two times, and expects that it is stored once. Reliable messages are acked.
func (n submitter) submitTwice(t *testing.T, s *permissionSite, c testkit.Capture) {
	t.Helper()
	m := n.message(t, c)
	stream, subject := "SUBMITTED", m.Subject
	if strings.HasPrefix(subject, "choria.submission.in.choria.executor.") {
		stream, subject = "CHORIA_EXECUTOR", "choria.executor.demo"
	}
	next := uint64(len(testkit.Messages(t, s.js, stream)) + 1)
	for _, duplicate := range []string{"", `,"duplicate": true`} {
		answer, err := replay(t, n.Conn, m)
		if err != nil {
			t.Fatalf("%s: %v", m.Subject, err)
		}
		if ack := hubAck(stream, next, duplicate); m.Reply != "" && answer != ack {
			t.Errorf("%s is answered with %s, want %s", m.Subject, answer, ack)
		}
	}
	wantMessages(t, s.js, stream, next)
	stored := testkit.Messages(t, s.js, stream)[next-1]
	if stored.Subject() != subject || string(stored.Data()) != string(m.Data) {
		t.Errorf("%s: %s is stored: %s", m.Subject, stored.Subject(), stored.Data())
	}
	for name, values := range m.Header {
		if !slices.Equal(stored.Headers()[name], values) {
			t.Errorf("%s: the header %s is stored as %q", m.Subject, name, stored.Headers()[name])
		}
	}
}

// TestReplay_SubmissionsAreRefused submits the captured reliable message where it may not be submitted or is not acked.
func TestReplay_SubmissionsAreRefused(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	s.newSubmissionStream(t)
	captures := testkit.Captures(t, "submission")
	reliable := captures[slices.IndexFunc(captures, func(c testkit.Capture) bool { return c.Reply != "" })]
	for _, r := range []struct{ title, collective, operation string }{
		{"node", "mcollective", "subscription"}, // it is stored, but the node receives no ack
		{"node", "choria", "publish"},
		{"node with roles", "choria", "publish"},
		{"node, token", "mcollective", "publish"},
		{"node, token with all", "choria", "publish"},
		{"client", "mcollective", "publish"},
	} {
		n := s.newSubmitter(t, r.title, r.collective)
		wantDenied(t, n.Conn, n.message(t, reliable), r.operation)
	}
	wantMessages(t, s.js, "SUBMITTED", 1)
	wantMessages(t, s.js, "CHORIA_EXECUTOR", 0)
}

// creations returns the captured requests for streams and buckets, with other names and subjects.
func creations(t *testing.T, prefix, inbox string) (requests []*nats.Msg) {
	t.Helper()
	rename := strings.NewReplacer("CHORIA_", prefix+"_", "choria.", prefix+".")
	for _, c := range testkit.Captures(t, "stream") {
		if strings.HasSuffix(c.Subject, "_ADVISORIES") {
			continue // only administrators may make streams that store advisories
		}
		requests = append(requests, &nats.Msg{
			Subject: rename.Replace(c.Subject), Data: []byte(rename.Replace(string(testkit.Raw(t, c.File)))),
			Reply: strings.Replace(c.Reply, "_INBOX", inbox, 1),
		})
	}
	return requests
}

// TestReplay_ClientsMakeStreamsAndBuckets sends the captured requests that make streams and buckets, the latter as
// `choria kv add` does.
func TestReplay_ClientsMakeStreamsAndBuckets(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	const inbox = "mcollective.reply"
	for prefix, nc := range map[string]*nats.Conn{
		"OLD":    s.connectAsChoria(t, "compatible client"),
		"STRICT": s.connect(t, column{name: "streams.mcollective"}, nats.CustomInboxPrefix(inbox)),
	} {
		for _, m := range creations(t, prefix, inbox) {
			_, name, _ := strings.Cut(m.Subject, "CREATE.")
			if answer := want(t, nc, "$JS.API.STREAM.INFO."+name, "", ""); !strings.Contains(answer, `"err_code":10059`) {
				t.Errorf("%s exists: %s", name, answer)
			}
			if answer, err := replay(t, nc, m); err != nil || !strings.Contains(answer, `"did_create":true`) {
				t.Fatalf("%s: %v, %s", m.Subject, err, answer)
			}
			s.wantStream(t, name, m.Data)
		}
		bucket := prefix + "_LEADER_ELECTION"
		want(t, nc, "$KV."+bucket+".k", "value", hubAck("KV_"+bucket, 1, ""))
		node := s.connectAsChoria(t, "node with roles")
		entry := want(t, node, "$JS.API.STREAM.MSG.GET.KV_"+bucket, `{"last_by_subj":"$KV.`+bucket+`.k"}`, "")
		if !strings.Contains(entry, `"data":"dmFsdWU="`) {
			t.Errorf("%s: %s", bucket, entry)
		}
	}
}

// wantStream compares a stream with the request that made it.
func (s *permissionSite) wantStream(t *testing.T, name string, request []byte) {
	t.Helper()
	var want jetstream.StreamConfig
	if err := json.Unmarshal(request, &want); err != nil {
		t.Fatal(err)
	}
	stream, err := s.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	have := stream.CachedInfo().Config
	if !slices.Equal(have.Subjects, want.Subjects) || have.MaxAge != want.MaxAge || have.MaxMsgSize != want.MaxMsgSize ||
		have.MaxMsgsPerSubject != want.MaxMsgsPerSubject || have.Discard != want.Discard ||
		have.DenyDelete != want.DenyDelete || have.AllowRollup != want.AllowRollup || have.AllowDirect != want.AllowDirect {
		t.Errorf("%s is\n%+v, want\n%+v", name, have, want)
	}
}

// TestReplay_OthersMakeNoStreams sends the captured requests that make streams and buckets without the role.
func TestReplay_OthersMakeNoStreams(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	for _, title := range []string{"node", "node with roles", "compatible node", "node, token with all", "client"} {
		nc := s.connectAsChoria(t, title)
		for _, m := range creations(t, s.unique(), "mcollective.reply") {
			if err := nc.PublishMsg(m); err != nil {
				t.Fatal(err)
			}
			flush(t, nc)
			if !wasDenied(nc, m.Subject) {
				t.Errorf("%s: %s is not denied", title, m.Subject)
			}
		}
	}
	for name := range s.js.StreamNames(t.Context()).Name() {
		if strings.HasPrefix(name, "u") || strings.HasPrefix(name, "KV_u") {
			t.Errorf("%s was made", name)
		}
	}
}
