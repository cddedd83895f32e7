package broker

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream publishes its answers and deliveries with its own permissions, which allow
// everything, and to any subject that a request names as its reply subject. These tests try to
// make it publish for a node.

// openRegistered runs a site whose stream of registrations has one registration, of web2.
func openRegistered(t *testing.T) (*site, jetstream.Stream) {
	t.Helper()
	s := openSite(t, nil)
	createStreams(t, s)
	js := jetStreamOf(t, s.broker)
	governor, err := js.Stream(t.Context(), "GOVERNOR_G")
	if err != nil {
		t.Fatal(err)
	}
	cfg := governor.CachedInfo().Config
	cfg.AllowDirect = true
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "choria.node_metadata.web2", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	consumer := jetstream.ConsumerConfig{Durable: "cmdb", AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := stream.CreateConsumer(t.Context(), consumer); err != nil {
		t.Fatal(err)
	}
	return s, stream
}

// wantUntouched fails the test unless web2's registration is still the only message.
func (s *site) wantUntouched(t *testing.T, stream jetstream.Stream) {
	t.Helper()
	internalConn := internalConn(t, s.broker)
	if err := internalConn.Flush(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // JetStream answers asynchronously, if it does
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatalf("the stream is gone: %v", err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), "choria.node_metadata.web2")
	if err != nil || string(m.Data) != "secret" || info.State.LastSeq != 1 {
		t.Errorf("%d messages, the last is %+v: %v", info.State.LastSeq, m, err)
	}
}

// web1 connects the node web1, with a token that has the permissions.
func (s *site) web1(t *testing.T, permissions ...string) *peer {
	t.Helper()
	return s.peer(t, s.withToken(s.node("web1", permissions...), nats.CustomInboxPrefix("choria.reply."+hash("web1")))...)
}

func TestPermissionBuilder_NodeCannotMakeConsumerPublish(t *testing.T) {
	s := openSite(t, nil)
	createStreams(t, s)
	p := s.web1(t, "streams", "governor")
	p.mustPublish("choria.governor.G")
	target, err := p.internalConn.SubscribeSync("choria.node_metadata.web2")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.internalConn.Flush(); err != nil {
		t.Fatal(err)
	}
	request := `{"stream_name":"GOVERNOR_G","config":{"deliver_subject":"choria.node_metadata.web2",` +
		`"deliver_policy":"all","ack_policy":"none","filter_subject":"choria.governor.G"}}`
	for _, subject := range []string{
		"$JS.API.CONSUMER.CREATE.GOVERNOR_G", "$JS.API.CONSUMER.CREATE.GOVERNOR_G.x.choria.governor.G",
		"$JS.API.CONSUMER.CREATE.KV_CONFIG",
	} {
		_, _ = p.nc.Request(subject, []byte(request), 200*time.Millisecond)
	}
	if m, err := target.NextMsg(200 * time.Millisecond); err == nil {
		t.Errorf("JetStream delivers %q for the node", m.Data)
	}
}

func TestPermissionBuilder_NodeCannotMakeGovernorPublish(t *testing.T) {
	s, stream := openRegistered(t)
	p := s.web1(t, "streams", "governor")
	forged := &nats.Msg{Subject: "choria.governor.G", Data: []byte("forged"), Header: nats.Header{
		contract.HeaderSender: {"web2"}, contract.HeaderMsgID: {"registration/web2/x"},
		"Nats-Request-Info": {`{"acc":"choria"}`},
	}}
	empty := &nats.Msg{Subject: "choria.governor.G", Header: forged.Header}
	for _, m := range []*nats.Msg{forged, empty} {
		if err := p.nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, reply := range []string{
		"choria.node_metadata.web2", "$JS.API.STREAM.PURGE.CHORIA_REGISTRATION", "$JS.API.STREAM.DELETE.CHORIA_REGISTRATION",
	} {
		for _, request := range []string{`{"seq":1}`, `{"seq":2}`, `{"last_by_subj":"choria.governor.G"}`} {
			_ = p.nc.PublishRequest("$JS.API.DIRECT.GET.GOVERNOR_G", reply, []byte(request))
			_ = p.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.GOVERNOR_G.x", reply, nil)
		}
		if !p.wasDenied("Publish to", "$JS.API.CONSUMER.MSG.NEXT.GOVERNOR_G.x") {
			t.Error("the node may request a governor's messages with their headers")
		}
	}
	s.wantUntouched(t, stream)
}

func TestPermissionBuilder_NodeCannotReadOtherConsumerByAck(t *testing.T) {
	s, stream := openRegistered(t)
	p := s.web1(t, "streams")
	for _, subject := range []string{
		"$JS.ACK.CHORIA_REGISTRATION.cmdb.KV_CONFIG.1.1.1.1", "$JS.ACK.CHORIA_REGISTRATION.cmdb.1.1.1.1.0",
	} {
		if m, err := p.nc.Request(subject, []byte("+NXT"), 200*time.Millisecond); err == nil {
			t.Errorf("the consumer of another client delivers %q", m.Data)
		}
	}
	info, err := stream.Consumer(t.Context(), "cmdb")
	if err != nil || info.CachedInfo().NumAckPending != 0 {
		t.Errorf("the consumer of another client has moved: %+v %v", info, err)
	}
}

func TestPermissionBuilder_PubSubjectsAddBucketsOnlyWithoutStreams(t *testing.T) {
	s, stream := openRegistered(t)
	claims := choria.ServerClaims("web1", []string{"choria"}, nil)
	claims.PubSubjects = []string{"$KV.CONFIG.>", "$KV.>", "$O.>", "choria.governor.G", "cmdb.x"}
	t.Run("may read buckets", func(t *testing.T) {
		claims.Permissions = permitted([]string{"streams"})
		p := s.peer(t, s.withToken(issue(t, claims, s.issuer, time.Now()))...)
		p.mustPublish("cmdb.x")
		p.mustNotPublish("$KV.CONFIG.color", "$O.x", "choria.governor.G", "$KV.CHORIA_LEADER_ELECTION.x")
		s.wantUntouched(t, stream)
	})
	t.Run("may not read buckets", func(t *testing.T) { // so it may write to them
		claims.Permissions = nil
		p := s.peer(t, s.withToken(issue(t, claims, s.issuer, time.Now()))...)
		p.mustPublish("$KV.CONFIG.color")
		p.mustNotPublish("$KV.CHORIA_LEADER_ELECTION.x")
	})
}
