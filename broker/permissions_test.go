package broker

import (
	"crypto/md5"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// peer is a connection whose permissions are tried.
type peer struct {
	*site
	nc      *nats.Conn
	witness *nats.Conn // who sees everything
}

func (s *site) peer(options ...nats.Option) *peer {
	s.t.Helper()
	p := &peer{site: s}
	var err error
	p.nc, err = s.connect(options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.nc.Close)
	if p.witness, err = s.broker.Connect("witness"); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.witness.Close)
	return p
}

// wasDenied tells whether the server has refused that: "Publish to" or "Subscription to" a
// subject. What it says comes before its answer to a ping.
func (p *peer) wasDenied(what, subject string) bool {
	p.t.Helper()
	if err := p.nc.FlushTimeout(10 * time.Second); err != nil {
		p.t.Fatal(err)
	}
	err := p.nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), fmt.Sprintf("%s %q", what, subject))
}

// publishes tries to publish, and tells whether somebody who sees everything saw it.
func (p *peer) publishes(subject string) (seen, denied bool) {
	p.t.Helper()
	sub, err := p.witness.SubscribeSync(subject)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := p.witness.Flush(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.nc.Publish(subject, []byte("tried")); err != nil {
		p.t.Fatal(err)
	}
	denied = p.wasDenied("Publish to", subject)
	if err := p.witness.Flush(); err != nil {
		p.t.Fatal(err)
	}
	_, err = sub.NextMsg(time.Millisecond)
	return err == nil, denied
}

// reads tries to subscribe, and tells whether what is published on the subject arrives.
func (p *peer) reads(subscribe, publish string) (got, denied bool) {
	p.t.Helper()
	sub, err := p.nc.SubscribeSync(subscribe)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	denied = p.wasDenied("Subscription to", subscribe)
	if err := p.witness.Publish(publish, []byte("secret")); err != nil {
		p.t.Fatal(err)
	}
	for _, nc := range []*nats.Conn{p.witness, p.nc} { // it has been routed, and it has come
		if err := nc.Flush(); err != nil {
			p.t.Fatal(err)
		}
	}
	_, err = sub.NextMsg(time.Millisecond)
	return err == nil, denied
}

func (p *peer) mustPublish(who string, subjects ...string) {
	p.t.Helper()
	for _, subject := range subjects {
		if seen, denied := p.publishes(subject); !seen || denied {
			p.t.Errorf("%s may not publish to %s (seen %v, denied %v)", who, subject, seen, denied)
		}
	}
}

func (p *peer) mustNotPublish(who string, subjects ...string) {
	p.t.Helper()
	for _, subject := range subjects {
		if seen, denied := p.publishes(subject); seen || !denied {
			p.t.Errorf("%s publishes to %s (seen %v, denied %v)", who, subject, seen, denied)
		}
	}
}

// mustRead takes subscriptions with a subject that each must get.
func (p *peer) mustRead(who string, subjects map[string]string) {
	p.t.Helper()
	for subscribe, publish := range subjects {
		if got, denied := p.reads(subscribe, publish); !got || denied {
			p.t.Errorf("%s may not read %s (got %v, denied %v)", who, subscribe, got, denied)
		}
	}
}

func (p *peer) mustNotRead(who string, subjects map[string]string) {
	p.t.Helper()
	for subscribe, publish := range subjects {
		if got, denied := p.reads(subscribe, publish); got || !denied {
			p.t.Errorf("%s reads %s (got %v, denied %v)", who, subscribe, got, denied)
		}
	}
}

func hash(name string) string { return fmt.Sprintf("%x", md5.Sum([]byte(name))) }

// everyNode is what all nodes do, in the collective.
func everyNode(t *testing.T, who string, p *peer, c, identity string) {
	t.Helper()
	p.mustPublish(who, c+".broadcast.agent.registration", "choria.registration.cmdb",
		"choria.lifecycle.event.startup.server", "choria.machine.transition", "choria.machine.watcher.exec.state",
		c+".reply.0123456789abcdef.id", "choria.federation."+c+".collective")
	p.mustRead(who, map[string]string{
		c + ".broadcast.agent.discovery": c + ".broadcast.agent.discovery",
		c + ".broadcast.agent.>":         c + ".broadcast.agent.rpcutil",
		c + ".node." + identity:          c + ".node." + identity,
	})
	p.mustNotRead(who, map[string]string{
		">":                                 "choria.node_metadata.web2",
		"*.broadcast.agent.registration":    c + ".broadcast.agent.registration",
		c + ".broadcast.agent.registration": c + ".broadcast.agent.registration",
		"choria.registration.>":             "choria.registration.cmdb",
		"choria.node_metadata.>":            "choria.node_metadata.web2",
		c + ".node.web2.example.net":        c + ".node.web2.example.net",
		c + ".node.>":                       c + ".node.web2.example.net",
		c + ".reply.>":                      c + ".reply.x.y",
		c + ".reply." + hash("web2") + ".>": c + ".reply." + hash("web2") + ".x",
		"choria.lifecycle.>":                "choria.lifecycle.event.startup.server",
		"_INBOX.>":                          "_INBOX.x",
		"$SYS.>":                            "$SYS.x",
		"$JS.EVENT.>":                       "$JS.EVENT.x",
	})
	p.mustNotPublish(who, "choria.node_metadata."+identity, "muster.rejected.registration.schema", "$SYS.REQ.SERVER.PING",
		"$JS.API.STREAM.DELETE.CHORIA_REGISTRATION", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.MSG.GET.CHORIA_REGISTRATION",
		"$JS.API.DIRECT.GET.CHORIA_REGISTRATION", "$JS.API.CONSUMER.CREATE.CHORIA_REGISTRATION", "$JS.API.STREAM.NAMES",
		"$KV.CHORIA_LEADER_ELECTION.x",
		c+".broadcast.agent.rpcutil", c+".node.web2.example.net", c+".broadcast.service.aaa", "other.broadcast.agent.discovery", "x")
	// A subscription that takes in more than may be read gets the rest.
	if got, _ := p.reads(c+".broadcast.agent.>", c+".broadcast.agent.registration"); got {
		t.Errorf("%s reads registrations through %s.broadcast.agent.>", who, c)
	}
}

func TestWhatNodesMayDo(t *testing.T) {
	s := openSite(t, func(c *Config) {
		c.Collectives = []string{"mcollective"}
		c.Roles.Streams, c.Roles.Governor, c.Roles.ServiceHost = []string{"kv*"}, []string{"kv*"}, []string{"svc*"}
	})
	makeBuckets(t, s)

	byToken := s.peer(append(s.node("web1.example.net").options(), s.anonymous())...)
	everyNode(t, "a node by token", byToken, "choria", "web1.example.net")
	byToken.mustRead("a node by token", map[string]string{"choria.reply." + hash("web1.example.net") + ".>": "choria.reply." + hash("web1.example.net") + ".x.1"})
	byToken.mustNotPublish("a node by token", "choria.submission.in.x", "choria.governor.G", "mcollective.broadcast.agent.rpcutil")
	byToken.mustNotRead("a node by token", map[string]string{"choria.broadcast.service.>": "choria.broadcast.service.x", "choria.reply.*.*": "choria.reply.x.y"})

	byCert := s.peer(s.certificate("web1.example.net"))
	everyNode(t, "a node by certificate", byCert, "mcollective", "web1.example.net")
	byCert.mustPublish("a node by certificate", "mcollective.submission.in.x")
	byCert.mustNotPublish("a node by certificate", "mcollective.governor.G", "$JS.API.STREAM.INFO.KV_CONFIG")
	byCert.mustNotRead("a node by certificate", map[string]string{"mcollective.reply.*.*": "mcollective.reply.x.y"})

	more := s.peer(append(s.node("web1.example.net", "submission", "streams", "governor", "service_host").options(), s.anonymous())...)
	everyNode(t, "a node with all permissions", more, "choria", "web1.example.net")
	more.mustPublish("a node with all permissions", "choria.submission.in.x", "choria.governor.G", "$JS.API.STREAM.INFO.KV_CONFIG",
		"$JS.API.DIRECT.GET.KV_CONFIG.$KV.CONFIG.a", "$JS.API.CONSUMER.CREATE.KV_CONFIG.x.y", "$JS.API.STREAM.INFO.GOVERNOR_G", "$JS.ACK.KV_CONFIG.c.1.1.1.1.0")
	more.mustNotPublish("a node with all permissions", "$JS.API.STREAM.MSG.DELETE.KV_CONFIG", "$JS.API.STREAM.PURGE.KV_CONFIG", "$JS.API.STREAM.DELETE.KV_CONFIG",
		"$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION", "$JS.API.CONSUMER.CREATE.GOVERNOR_G.x.y", "$JS.API.DIRECT.GET.GOVERNOR_G", "$JS.ACK.CHORIA_REGISTRATION.c.1.1.1.1.0", "$KV.CONFIG.a")
	more.mustRead("a node with all permissions", map[string]string{"choria.broadcast.service.>": "choria.broadcast.service.x", "choria.republish.>": "choria.republish.x"})

	certMore := s.peer(s.certificate("kv1"))
	everyNodeOf := map[string]string{"mcollective.reply.*.*": "mcollective.reply.x.y"}
	certMore.mustRead("a node with streams, by certificate", everyNodeOf)
	certMore.mustPublish("a node with streams, by certificate", "mcollective.governor.G", "$JS.API.STREAM.INFO.KV_CONFIG")
	s.peer(s.certificate("svc1")).mustRead("a service host", map[string]string{"mcollective.broadcast.service.>": "mcollective.broadcast.service.x"})

	for _, collectives := range [][]string{nil, {"*"}, {">"}, {"a.b"}, {""}} {
		none := issue(t, choria.ServerClaims("web1", collectives, nil), s.issuer, time.Now())
		idle := s.peer(append(none.options(), s.anonymous())...)
		idle.mustNotPublish("a node of no collective", "choria.lifecycle.x", "mcollective.broadcast.agent.registration", "mcollective.reply.x")
		idle.mustNotRead("a node of no collective", map[string]string{"x": "x", "*.node.web1": "mcollective.node.web1"})
	}
}

func TestNobodyReadsWhatAdaptersRead(t *testing.T) {
	s := openSite(t, nil)
	var p *peer
	for _, ingest := range [][]string{{"choria.broadcast.agent.cmdb"}, nil} {
		s.broker.auth.permissions.ingest = ingest
		p = s.peer(append(s.node("web1").options(), s.anonymous())...)
		for _, subject := range append(ingest, "choria.broadcast.agent.registration") { // without an adapter too
			p.mustNotRead("a node", map[string]string{subject: subject})
			if got, _ := p.reads("choria.broadcast.agent.>", subject); got {
				t.Errorf("a node reads %s through a wildcard", subject)
			}
		}
	}
	p.mustRead("a node", map[string]string{"choria.broadcast.agent.cmdb": "choria.broadcast.agent.cmdb"}) // which no adapter reads now
}

// jetStream is JetStream for who may do everything.
func (s *site) jetStream() jetstream.JetStream {
	s.t.Helper()
	organ, err := s.broker.Connect("organ")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(organ.Close)
	js, err := jetstream.New(organ)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

func makeBuckets(t *testing.T, s *site) {
	t.Helper()
	js := s.jetStream()
	for _, name := range []string{"CONFIG", "CHORIA_LEADER_ELECTION"} {
		kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.PutString(t.Context(), "colour", "green"); err != nil {
			t.Fatal(err)
		}
	}
	for name, subject := range map[string]string{"GOVERNOR_G": "choria.governor.G", "CHORIA_REGISTRATION": "choria.node_metadata.>"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANodeWithStreamsReadsABucket(t *testing.T) {
	s := openSite(t, func(c *Config) { c.Roles.Streams = []string{"kv*"} })
	makeBuckets(t, s)
	inbox := "choria.reply." + hash("web1")
	for who, options := range map[string][]nats.Option{
		"by token":       append(s.node("web1", "streams").options(), s.anonymous(), nats.CustomInboxPrefix(inbox)),
		"by certificate": {s.certificate("kv1"), nats.CustomInboxPrefix("mcollective.reply")},
	} {
		js, err := jetstream.New(s.peer(options...).nc)
		if err != nil {
			t.Fatal(err)
		}
		kv, err := js.KeyValue(t.Context(), "CONFIG")
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		if entry, err := kv.Get(t.Context(), "colour"); err != nil || string(entry.Value()) != "green" {
			t.Errorf("%s: %v, %v", who, entry, err)
		}
		watch, err := kv.WatchAll(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		select {
		case entry := <-watch.Updates():
			if entry == nil || string(entry.Value()) != "green" {
				t.Errorf("%s watches: %v", who, entry)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s watches, and nothing comes", who)
		}
	}
}

// A consumer delivers in the name of JetStream, which may publish to everything.
func TestAConsumerIsNoWayAroundPermissions(t *testing.T) {
	s := openSite(t, nil)
	makeBuckets(t, s)
	inbox := "choria.reply." + hash("web1")
	p := s.peer(append(s.node("web1", "streams", "governor").options(), s.anonymous(), nats.CustomInboxPrefix(inbox))...)
	p.mustPublish("a node with a governor", "choria.governor.G")
	target, err := p.witness.SubscribeSync("choria.node_metadata.web2")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.witness.Flush(); err != nil {
		t.Fatal(err)
	}
	request := `{"stream_name":"GOVERNOR_G","config":{"deliver_subject":"choria.node_metadata.web2","deliver_policy":"all","ack_policy":"none","filter_subject":"choria.governor.G"}}`
	for _, subject := range []string{"$JS.API.CONSUMER.CREATE.GOVERNOR_G", "$JS.API.CONSUMER.CREATE.GOVERNOR_G.x.choria.governor.G", "$JS.API.CONSUMER.CREATE.KV_CONFIG"} {
		_, _ = p.nc.Request(subject, []byte(request), 200*time.Millisecond)
	}
	if m, err := target.NextMsg(200 * time.Millisecond); err == nil {
		t.Errorf("JetStream delivers %q for the node", m.Data)
	}
}

func TestATokensFurtherSubjectsOpenNoBackDoor(t *testing.T) {
	s := openSite(t, nil)
	claims := choria.ServerClaims("web1", []string{"choria"}, nil)
	claims.PubSubjects = []string{"cmdb.>", ">", "$JS.>", "$JS.API.STREAM.MSG.GET.CHORIA_REGISTRATION", "$SYS.>", "*.>", "choria.node_metadata.web1", "muster.>", "a b", "choria.streams.>"}
	p := s.peer(append(issue(t, claims, s.issuer, time.Now()).options(), s.anonymous())...)
	p.mustPublish("a node with further subjects", "cmdb.registration.web1")
	everyNode(t, "a node with further subjects", p, "choria", "web1")
}

func TestWhatClientsMayDo(t *testing.T) {
	s := openSite(t, nil)
	inbox := func(caller string) map[string]string {
		return map[string]string{"mcollective.reply." + hash(caller) + ".>": "mcollective.reply." + hash(caller) + ".id"}
	}
	manages := []string{"mcollective.broadcast.agent.discovery", "mcollective.broadcast.service.aaa", "mcollective.node.web1", "choria.federation.x.federation"}
	events := map[string]string{"choria.lifecycle.event.>": "choria.lifecycle.event.startup.server", "choria.machine.transition": "choria.machine.transition"}
	streams := []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.CHORIA_REGISTRATION", "$JS.API.CONSUMER.CREATE.CHORIA_REGISTRATION.x.y", "$KV.B.k"}
	never := []string{"$SYS.REQ.SERVER.PING", "choria.node_metadata.web1", "muster.x"}

	byCert := s.peer(s.certificate("rip.mcollective"))
	byCert.mustRead("a client by certificate", inbox("choria=rip.mcollective"))
	byCert.mustRead("a client by certificate", events)
	byCert.mustPublish("a client by certificate", slices.Concat(manages, streams)...)
	byCert.mustNotPublish("a client by certificate", append(never, "$JS.API.STREAM.DELETE.CHORIA_REGISTRATION")...)
	byCert.mustNotRead("a client by certificate", map[string]string{">": "x", "mcollective.broadcast.agent.>": "mcollective.broadcast.agent.x"})

	for permission, test := range map[string]struct {
		publish []string
		read    map[string]string
	}{
		"":                        {nil, nil},
		"fleet_management":        {manages, nil},
		"signed_fleet_management": {manages, nil},
		"events_viewer":           {nil, events},
		"election_user":           {[]string{"$KV.CHORIA_LEADER_ELECTION.x"}, nil},
		"streams_user":            {streams, map[string]string{"choria.republish.>": "choria.republish.x"}},
		"streams_admin":           {[]string{"$JS.API.STREAM.DELETE.X"}, map[string]string{"$JS.EVENT.>": "$JS.EVENT.x"}},
		"governor":                {nil, nil},
		"streams_user governor":   {[]string{"choria.governor.G"}, nil},
	} {
		caller := "choria=" + strings.ReplaceAll(permission, " ", "+")
		p := s.peer(append(s.client(caller, strings.Fields(permission)...).options(), s.anonymous())...)
		p.mustRead(caller, inbox(caller))
		p.mustPublish(caller, append(test.publish, "$SYS.REQ.USER.INFO")...)
		p.mustRead(caller, test.read)
		p.mustNotPublish(caller, never...)
		p.mustNotRead(caller, map[string]string{">": "x", "mcollective.reply." + hash("choria=other") + ".>": "mcollective.reply." + hash("choria=other") + ".x"})
		if !strings.Contains(permission, "fleet") {
			p.mustNotPublish(caller, manages...)
		}
		if !strings.Contains(permission, "governor") || permission == "governor" {
			p.mustNotPublish(caller, "choria.governor.G")
		}
		if permission != "events_viewer" {
			p.mustNotRead(caller, events)
		}
	}
	claims := clientClaims("choria=x", nil)
	claims.PubSubjects, claims.SubSubjects = []string{"mine.>"}, []string{"ours.>"}
	own := s.peer(append(issue(t, claims, s.issuer, time.Now()).options(), s.anonymous())...)
	own.mustPublish("a client with subjects of its own", "mine.x")
	own.mustRead("a client with subjects of its own", map[string]string{"ours.>": "ours.x"})

	for who, options := range map[string][]nats.Option{
		"an administrator by certificate": {s.certificate("root.example.net")},
		"an administrator by token":       append(s.client("choria=boss", "org_admin").options(), s.anonymous()),
	} {
		p := s.peer(options...)
		p.mustPublish(who, "anything", "$JS.API.STREAM.DELETE.X")
		p.mustRead(who, map[string]string{">": "anything"})
	}
}

func TestAFleetThatComesBackAsksForTheBucketsOnceASecond(t *testing.T) {
	now, asked := time.Unix(1000, 0), 0
	b := &bucketList{now: func() time.Time { return now }, list: func() []string {
		asked++
		return []string{"KV_A", "KV_CHORIA_LEADER_ELECTION", "GOVERNOR_G", "CHORIA_REGISTRATION", "KV"}
	}}
	for range 1000 {
		now = now.Add(5 * time.Millisecond)
		if names := b.current(); !slices.Equal(names, []string{"KV_A", "GOVERNOR_G"}) {
			t.Fatalf("have %v", names)
		}
	}
	if asked < 4 || asked > 6 {
		t.Errorf("asked %d times in five seconds", asked)
	}
}
