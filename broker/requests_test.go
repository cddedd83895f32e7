package broker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TestNATS_NamesTheMappedSubjectInItsError shows why no mapping leads from a public subject to one with the
// write token: a client that may not publish there would learn the token.
func TestNATS_NamesTheMappedSubjectInItsError(t *testing.T) {
	acc := server.NewAccount("A")
	if err := acc.AddMapping("public", "secret"); err != nil {
		t.Fatal(err)
	}
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, Accounts: []*server.Account{acc},
		Users: []*server.User{{Username: "u", Password: "p", Account: acc, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"public"}},
		}}},
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not listen")
	}
	refused := make(chan error, 1)
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("u", "p"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(nc.Publish("public", nil), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !strings.Contains(err.Error(), `"secret"`) {
		t.Errorf("the error is now %v: a mapping would do", err)
	}
}

// TestBroker_ReceivesRequestsWithTheirConnection sends requests to JetStream's API as a client and, by a reply
// subject, as JetStream itself.
func TestBroker_ReceivesRequestsWithTheirConnection(t *testing.T) {
	o := testOptions(t)
	o.CheckRequests, o.PrivateStreams = true, []string{"S"}
	b := newBroker(t, DefaultConfig(), o)
	b.js.Domain = "hub"
	open(t, b)
	received := &intakeReceiver{}
	conn, err := b.DialSystem("test", []string{contract.SubjectAPI + ">", contract.SubjectChecked + ">"}, received)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = conn.Run() }()
	t.Cleanup(func() { conn.Close(); <-done })
	nc, err := b.Connect("n")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	forged := nats.Header{"Nats-Request-Info": {`{"acc":"choria","id":1,"kind":"Client"}`}}
	for _, subject := range []string{
		"$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.S", "$JS.API.STREAM.DELETE.OTHER", "$JS.API.STREAM.MSG.DELETE.OTHER",
		"$JS.API.CONSUMER.DELETE.OTHER.C", "$JS.API.STREAM.MSG.GET.S", "$JS.API.CONSUMER.CREATE.S.C.a.b",
		"$JS.hub.API.STREAM.INFO.S", "$JS.hub.API.CONSUMER.CREATE.S.C.a.b",
	} {
		if err := nc.PublishMsg(&nats.Msg{Subject: subject, Reply: "r", Header: forged}); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range received.wait(t, 9) {
		if m.Peer.Kind != "Client" || m.Peer.Name != "n" || m.Reply == "" {
			t.Errorf("request %d is %+v", i, m)
		}
	}
	system, err := b.ConnectSystem("test")
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	create := &nats.Msg{
		Subject: contract.SubjectRawAPI + "STREAM.CREATE.OTHER",
		Header:  nats.Header{"Nats-Request-Info": {`{"acc":"choria"}`}},
		Data:    []byte(`{"name":"OTHER","subjects":["x"],"storage":"memory","retention":"limits","discard":"old"}`),
	}
	if m, err := system.RequestMsg(create, 10*time.Second); err != nil || strings.Contains(string(m.Data), `"error"`) {
		t.Fatalf("%v: %v", m, err)
	}
	if err := nc.PublishRequest("x", "$JS.API.STREAM.DELETE.S", nil); err != nil { // JetStream sends the ack there
		t.Fatal(err)
	}
	if m := received.wait(t, 10)[9]; m.Subject != contract.SubjectAPI+"STREAM.DELETE.S" || m.Peer.Kind == "Client" {
		t.Errorf("the request of JetStream is %+v", m)
	}
}
