package broker

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

const registrationSubject = "mcollective.broadcast.agent.registration"

// intakeReceiver records what an intake receives.
type intakeReceiver struct {
	mu  sync.Mutex
	got []inproc.Message
}

func (*intakeReceiver) Memory(size int, _ inproc.Peer) []byte { return make([]byte, size) }

func (r *intakeReceiver) Receive(m inproc.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, m)
}

// wait returns the first n messages.
func (r *intakeReceiver) wait(t *testing.T, n int) []inproc.Message {
	t.Helper()
	wait.Eventually(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.got) < n {
			return fmt.Errorf("%d of %d received", len(r.got), n)
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

// dialIntake reads from an intake until the test ends.
func dialIntake(t *testing.T, b *Broker, intake string, subjects ...string) (*intakeReceiver, *inproc.Conn) {
	t.Helper()
	r := &intakeReceiver{}
	conn, err := b.DialIntake(intake, "test", subjects, r)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = conn.Run() }()
	t.Cleanup(func() { conn.Close(); <-done })
	return r, conn
}

// openIntakes runs a broker without TLS, with intakes.
func openIntakes(t *testing.T, intakes ...Intake) *Broker {
	t.Helper()
	o := testOptions(t)
	o.Intakes = intakes
	b := newBroker(t, DefaultConfig(), o)
	open(t, b)
	accept(t, b)
	return b
}

// rawNode is the connection of a node that sends what no client library sends.
type rawNode struct {
	t    *testing.T
	conn *tls.Conn
}

// dialRaw connects with a certificate of that name, until the test ends.
func (s *site) dialRaw(t *testing.T, name string) *rawNode {
	t.Helper()
	plain, err := net.Dial("tcp", s.broker.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	if _, err := bufio.NewReaderSize(plain, 1<<10).ReadString('\n'); err != nil { // INFO
		t.Fatal(err)
	}
	config := s.ca.Client(nil, name)
	config.ServerName = "127.0.0.1"
	conn := tls.Client(plain, config)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	n := &rawNode{t, conn}
	n.send("CONNECT {\"headers\":true,\"verbose\":false}\r\n")
	return n
}

func (n *rawNode) send(format string, args ...any) {
	n.t.Helper()
	if _, err := fmt.Fprintf(n.conn, format, args...); err != nil {
		n.t.Fatal(err)
	}
}

func TestIntake_NamesThePublisher(t *testing.T) {
	s := openSite(t, nil)
	received, _ := dialIntake(t, s.broker, "test", "*.broadcast.agent.registration")
	web1 := s.peer(t, s.certificate("web1"), nats.Name(`","user":"web2`))
	rip := s.peer(t, s.withToken(s.client("choria=rip", "fleet_management"))...)
	var want []inproc.Peer
	for _, p := range []struct {
		*peer
		user, name string
	}{{web1, "web1", `","user":"web2`}, {rip, "choria=rip", ""}} {
		id, err := p.nc.GetClientID()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.nc.Publish(registrationSubject, []byte("x")), p.nc.Flush()); err != nil {
			t.Fatal(err)
		}
		want = append(want, inproc.Peer{
			ID: id, User: p.user, Name: p.name, Host: "127.0.0.1", Kind: inproc.KindClient, Account: Account,
		})
	}
	for i, m := range received.wait(t, 2) {
		if m.Peer != want[i] || m.Subject != registrationSubject || string(m.Data) != "x" {
			t.Errorf("received %+v, want %+v", m, want[i])
		}
	}
}

// TestIntake_IgnoresChosenHeaders publishes blocks of headers that contain one like the server's. The
// server removes the first; the others are made so that it removes none, or ends its own header
// within a line.
func TestIntake_IgnoresChosenHeaders(t *testing.T) {
	s := openSite(t, nil)
	received, _ := dialIntake(t, s.broker, "test", "*.broadcast.agent.registration")
	const forged = "Nats-Request-Info: " + `{"id":9,"user":"web2","name":"web2"}`
	const unseen = "A: Nats-Request-InfoNats-Request-Info\r\n" // the server looks for no further one
	blocks := []struct{ headers, user string }{
		{"NATS/1.0\r\n" + forged + "\r\n\r\n", "web1"},
		{"NATS/1.0\r\n" + forged + "\r\n" + forged + "\r\n\r\n", "web1"},
		{"NATS/1.0\r\n" + unseen + forged + "\r\n\r\n", "web1"},
		{"NATS/1.0\r\n" + unseen + forged + "\r\nB: cXX", ""},
		{"NATS/1.0\r\n" + unseen + forged + "XX", ""},
		{"NATS/1.0\r\nNats-Trace-Dest: choria.machine.x\r\n" + forged + "\r\n\r\n", "web1"},
		{forged + "\r\n\r\n", "web1"},
		{"NATS/1.0\r\nA: " + strings.Repeat("x", 20<<10) + "\r\n" + forged + "\r\n\r\n", "web1"},
	}
	node := s.dialRaw(t, "web1")
	for _, b := range blocks {
		node.send("HPUB %s %d %d\r\n%sx\r\n", registrationSubject, len(b.headers), len(b.headers)+1, b.headers)
	}
	for i, m := range received.wait(t, len(blocks)) {
		if m.Peer.User != blocks[i].user || string(m.Data) != "x" {
			t.Errorf("%.200q: received %+v, want user %q", blocks[i].headers, m.Peer, blocks[i].user)
		}
	}
}

// TestIntake_ReceivesEachMessageOncePerComponent has two components whose subjects overlap, and an
// ordinary subscriber.
func TestIntake_ReceivesEachMessageOncePerComponent(t *testing.T) {
	a := Intake{Name: "a", Subjects: []string{"*.broadcast.agent.registration", "choria.registration.>"}}
	other := Intake{Name: "b", Subjects: []string{"mcollective.broadcast.agent.>", "choria.registration.>"}}
	broker := openIntakes(t, a, other)
	receivedA, connA := dialIntake(t, broker, "a", a.Subjects...)
	receivedB, connB := dialIntake(t, broker, "b", other.Subjects...)
	nc, err := nats.Connect(broker.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	seen, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	largest := make([]byte, DefaultConfig().MaxPayload)
	subjects := []string{
		registrationSubject, "choria.registration.x", "mcollective.broadcast.agent.rpcutil",
		"uk.broadcast.agent.registration", "other",
	}
	for _, subject := range subjects {
		if err := nc.Publish(subject, largest); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, subject := range subjects {
		if m, err := seen.NextMsg(1); err != nil || m.Subject != subject || len(m.Header) > 0 {
			t.Fatalf("an ordinary subscriber received %v, %v; want %s", m, err, subject)
		}
	}
	for _, c := range []struct {
		*intakeReceiver
		conn *inproc.Conn
		want string
	}{
		{receivedA, connA, subjects[0] + " " + subjects[1] + " " + subjects[3]},
		{receivedB, connB, strings.Join(subjects[:3], " ")},
	} {
		var got []string
		for _, m := range c.wait(t, 3) {
			got = append(got, m.Subject)
			if m.Size != len(largest) || m.Peer.ID == 0 {
				t.Errorf("received %d bytes of %+v", m.Size, m.Peer)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("received %q, want %q", got, c.want)
		}
		if sent, ok := broker.MessagesSent(c.conn.ID()); !ok || sent != 3 {
			t.Errorf("the broker counts %d messages sent", sent)
		}
	}
}

// TestIntake_ForgetsReplySubjects publishes messages with a reply subject, which nothing answers.
func TestIntake_ForgetsReplySubjects(t *testing.T) {
	b := openIntakes(t, Intake{Name: "a", Subjects: []string{"a.>"}})
	received, _ := dialIntake(t, b, "a", "a.>")
	nc, err := nats.Connect(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	replies, err := nc.SubscribeSync("reply.>")
	if err != nil {
		t.Fatal(err)
	}
	const messages = 1000
	for i := range messages {
		if err := nc.PublishRequest("a.x", fmt.Sprintf("reply.%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	received.wait(t, messages)
	acc, err := b.srv.LookupAccount(intakeAccount("a"))
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := b.srv.LookupAccount(account)
	if err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if n, m := acc.NumPendingAllResponses(), nodes.NumPendingReverseResponses(); n+m > 0 {
			return fmt.Errorf("the server remembers %d and %d replies", n, m)
		}
		return nil
	})
	if n, _, err := replies.Pending(); n > 0 || err != nil {
		t.Errorf("%d replies, %v", n, err)
	}
}

func TestBroker_DialIntakeNeedsAnIntake(t *testing.T) {
	b := openIntakes(t)
	if _, err := b.DialIntake("a", "test", nil, &intakeReceiver{}); err == nil {
		t.Error("no error")
	}
}
