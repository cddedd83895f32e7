package broker

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/segmentio/ksuid"
)

// JetStream answers and delivers in its own name, which may publish to everything, and on
// any subject that is named as the reply. What follows are ways to let it speak for a node.

// registered is a site with a stream of registrations that holds one of web2, and what it
// takes to look at it.
func registered(t *testing.T) (*site, jetstream.Stream) {
	t.Helper()
	s := openSite(t, nil)
	makeBuckets(t, s)
	js := s.jetStream()
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
	stream, err := js.Stream(t.Context(), "CHORIA_REGISTRATION")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "cmdb", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	return s, stream
}

// untouched wants web2's registration to be the only one there is.
func untouched(t *testing.T, s *site, stream jetstream.Stream, what string) {
	t.Helper()
	witness, err := s.broker.Connect("witness")
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	if err := witness.Flush(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // for what JetStream may do yet
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatalf("%s: the stream is gone: %v", what, err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), "choria.node_metadata.web2")
	if err != nil || string(m.Data) != "secret" || info.State.LastSeq != 1 {
		t.Errorf("%s: %d messages, the last %+v: %v", what, info.State.LastSeq, m, err)
	}
}

func TestAGovernorIsNoWayToSpeakForOthers(t *testing.T) {
	s, stream := registered(t)
	p := s.peer(append(s.node("web1", "streams", "governor").options(), s.anonymous(), nats.CustomInboxPrefix("choria.reply."+hash("web1")))...)
	forged := &nats.Msg{Subject: "choria.governor.G", Data: []byte("forged"), Header: nats.Header{
		"Muster-Sender": {"web2"}, "Nats-Msg-Id": {"registration/web2/x"}, "Nats-Request-Info": {`{"acc":"choria"}`},
	}}
	empty := &nats.Msg{Subject: "choria.governor.G", Header: forged.Header}
	for _, m := range []*nats.Msg{forged, empty} {
		if err := p.nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, reply := range []string{"choria.node_metadata.web2", "$JS.API.STREAM.PURGE.CHORIA_REGISTRATION", "$JS.API.STREAM.DELETE.CHORIA_REGISTRATION"} {
		for _, request := range []string{`{"seq":1}`, `{"seq":2}`, `{"last_by_subj":"choria.governor.G"}`} {
			_ = p.nc.PublishRequest("$JS.API.DIRECT.GET.GOVERNOR_G", reply, []byte(request))
			_ = p.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.GOVERNOR_G.x", reply, nil)
		}
		if !p.wasDenied("Publish to", "$JS.API.CONSUMER.MSG.NEXT.GOVERNOR_G.x") {
			t.Error("what is in a governor may be asked for with its headers")
		}
	}
	untouched(t, s, stream, "through a governor")
}

func TestAnAcknowledgementIsNoWayToReadForOthers(t *testing.T) {
	s, stream := registered(t)
	p := s.peer(append(s.node("web1", "streams").options(), s.anonymous(), nats.CustomInboxPrefix("choria.reply."+hash("web1")))...)
	for _, subject := range []string{"$JS.ACK.CHORIA_REGISTRATION.cmdb.KV_CONFIG.1.1.1.1", "$JS.ACK.CHORIA_REGISTRATION.cmdb.1.1.1.1.0"} {
		if m, err := p.nc.Request(subject, []byte("+NXT"), 200*time.Millisecond); err == nil {
			t.Errorf("through another's consumer comes %q", m.Data)
		}
	}
	info, err := stream.Consumer(t.Context(), "cmdb")
	if err != nil || info.CachedInfo().NumAckPending != 0 {
		t.Errorf("another's consumer has moved: %+v %v", info, err)
	}
}

func TestATokensSubjectsAndStreamsAreNoWayRound(t *testing.T) {
	s, stream := registered(t)
	claims := choria.ServerClaims("web1", []string{"choria"}, nil)
	claims.Permissions = permitted([]string{"streams"})
	claims.PubSubjects = []string{"$KV.CONFIG.>", "$KV.>", "$O.>", "choria.governor.G", "cmdb.x"}
	p := s.peer(append(issue(t, claims, s.issuer, time.Now()).options(), s.anonymous())...)
	p.mustPublish("a node with streams", "cmdb.x")
	p.mustNotPublish("a node with streams", "$KV.CONFIG.colour", "$O.x", "choria.governor.G", "$KV.CHORIA_LEADER_ELECTION.x")
	untouched(t, s, stream, "through a bucket")
	// Who may not read a bucket may be allowed to write to it.
	claims.Permissions = nil
	writer := s.peer(append(issue(t, claims, s.issuer, time.Now()).options(), s.anonymous())...)
	writer.mustPublish("a node that may write a bucket", "$KV.CONFIG.colour")
	writer.mustNotPublish("a node that may write a bucket", "$KV.CHORIA_LEADER_ELECTION.x")
}

func TestAChainedTokenIsLetInUntilItsIssuersEnd(t *testing.T) {
	s := openSite(t, nil)
	chained := func(issuerEnds time.Time) holder {
		t.Helper()
		_, issuer, _ := ed25519.GenerateKey(rand.Reader)
		public, key, _ := ed25519.GenerateKey(rand.Reader)
		id := ksuid.New()
		issuerKey := hex.EncodeToString(issuer.Public().(ed25519.PublicKey))
		vouched := hex.EncodeToString(ed25519.Sign(s.issuer, []byte("issuer."+issuerKey)))
		claims := choria.ServerClaims("web1", []string{"choria"}, public)
		claims.RegisteredClaims = jwt.RegisteredClaims{
			ID: id.String(), IssuedAt: jwt.NewNumericDate(id.Time()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)), Issuer: "C-issuer." + issuerKey,
		}
		claims.IssuerExpiresAt = jwt.NewNumericDate(issuerEnds)
		claims.TrustChain = vouched + "." + hex.EncodeToString(ed25519.Sign(issuer, []byte(id.String()+"."+vouched)))
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(issuer)
		if err != nil {
			t.Fatal(err)
		}
		return holder{token, key}
	}
	nc, err := s.connect(append(chained(time.Now().Add(time.Hour)).options(), s.anonymous())...)
	if err != nil {
		t.Fatal(err)
	}
	if user := s.user(nc); user != "web1" {
		t.Errorf("it is %q", user)
	}
	nc.Close()
	before := s.broker.auth.refusals.snapshot()
	if nc, err := s.connect(append(chained(time.Now().Add(-time.Minute)).options(), s.anonymous())...); err == nil {
		nc.Close()
		t.Fatal("let in after its issuer's end")
	}
	s.wantRefused(t, "expired", before)
}
