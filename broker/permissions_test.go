package broker

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

func TestPermissionBuilder_Nodes(t *testing.T) {
	s := openSite(t, func(c *Config) {
		c.Collectives = []string{"mcollective"}
		c.Roles.Streams, c.Roles.Governor, c.Roles.ServiceHost = []string{"kv*"}, []string{"kv*"}, []string{"svc*"}
	})
	createStreams(t, s)
	const web1 = "web1.example.net"
	t.Run("token", func(t *testing.T) {
		p := s.peer(t, s.withToken(s.node(web1))...)
		p.mustBeNode("choria", web1)
		p.mustRead(map[string]string{"choria.reply." + hash(web1) + ".>": "choria.reply." + hash(web1) + ".x.1"})
		p.mustNotPublish("choria.submission.in.x", "choria.governor.G", "mcollective.broadcast.agent.rpcutil")
		p.mustNotRead(map[string]string{
			"choria.broadcast.service.>": "choria.broadcast.service.x", "choria.reply.*.*": "choria.reply.x.y",
		})
	})
	t.Run("certificate", func(t *testing.T) {
		p := s.peer(t, s.certificate(web1))
		p.mustBeNode("mcollective", web1)
		p.mustPublish("mcollective.submission.in.x")
		p.mustNotPublish("mcollective.governor.G", "$MUSTER.API.STREAM.INFO.KV_CONFIG")
		p.mustNotRead(map[string]string{"mcollective.reply.*.*": "mcollective.reply.x.y"})
	})
	t.Run("token with all permissions", func(t *testing.T) {
		p := s.peer(t, s.withToken(s.node(web1, "submission", "streams", "governor", "service_host"))...)
		p.mustBeNode("choria", web1)
		p.mustPublish("choria.submission.in.x", "choria.governor.G", "$MUSTER.API.STREAM.INFO.KV_CONFIG",
			"$JS.FC.KV_CONFIG.c.x")
		p.mustNotPublish("$JS.API.STREAM.PURGE.KV_CONFIG", "$JS.API.STREAM.DELETE.KV_CONFIG", "$JS.API.DIRECT.GET.KV_CONFIG",
			"$JS.API.DIRECT.GET.KV_CONFIG.$KV.CONFIG.a", "$JS.ACK.KV_CONFIG.c.1.1.1.1.0", "$KV.CONFIG.a")
		p.mustRead(map[string]string{
			"choria.broadcast.service.>": "choria.broadcast.service.x", "choria.republish.>": "choria.republish.x",
		})
	})
	t.Run("certificate with streams", func(t *testing.T) {
		p := s.peer(t, s.certificate("kv1"))
		p.mustRead(map[string]string{"mcollective.reply.*.*": "mcollective.reply.x.y"})
		p.mustPublish("mcollective.governor.G", "$MUSTER.API.STREAM.INFO.KV_CONFIG")
	})
	t.Run("certificate of a service host", func(t *testing.T) {
		s.peer(t, s.certificate("svc1")).mustRead(map[string]string{
			"mcollective.broadcast.service.>": "mcollective.broadcast.service.x",
		})
	})
}

func TestPermissionBuilder_NodeWithoutValidCollectiveMayDoNothing(t *testing.T) {
	s := openSite(t, nil)
	for name, collectives := range map[string][]string{
		"none": nil, "token wildcard": {"*"}, "full wildcard": {">"}, "two tokens": {"a.b"}, "empty": {""},
	} {
		t.Run(name, func(t *testing.T) {
			claims := choria.ServerClaims("web1", collectives, nil)
			p := s.peer(t, s.withToken(issue(t, claims, s.issuer, time.Now()))...)
			p.mustNotPublish("choria.lifecycle.x", "mcollective.broadcast.agent.registration", "mcollective.reply.x")
			p.mustNotRead(map[string]string{"x": "x", "*.node.web1": "mcollective.node.web1"})
		})
	}
}

func TestPermissionBuilder_NodesCannotReadIngestSubjects(t *testing.T) {
	s := openSite(t, nil)
	const topic, registration = "choria.broadcast.agent.cmdb", "choria.broadcast.agent.registration"
	for name, ingest := range map[string][]string{"adapter": {topic}, "no adapter": nil} {
		t.Run(name, func(t *testing.T) {
			s.broker.auth.permissions.ingest = ingest
			p := s.peer(t, s.withToken(s.node("web1"))...)
			for _, subject := range append(ingest, registration) { // without an adapter too
				p.mustNotRead(map[string]string{subject: subject})
				if got, _ := p.reads("choria.broadcast.agent.>", subject); got {
					t.Errorf("can read %s through a wildcard", subject)
				}
			}
			if ingest == nil {
				p.mustRead(map[string]string{topic: topic})
			}
		})
	}
}

func TestPermissionBuilder_Collectives(t *testing.T) {
	const hears, says, registration = "dc1.broadcast.agent.rpcutil", "dc1.reply.x.y", "dc1.broadcast.agent.registration"
	s := openSite(t, nil)
	p := s.peer(t, s.certificate("web1"))
	p.mustBeNode("mcollective", "web1")
	p.mustPublish(says, "choria.federation.dc1.collective")
	p.mustRead(map[string]string{"dc1.broadcast.agent.rpcutil": hears, "dc1.node.web1": "dc1.node.web1"})
	p.mustNotPublish("choria.reply.x.y", "muster.reply.x.y", "choria.submission.in.choria.executor.x", "$KV.reply.x")
	p.mustNotRead(map[string]string{"dc1.reply.*.*": says, registration: registration})
	for _, reserved := range []string{"choria.broadcast.agent.rpcutil", registration} {
		if got, _ := p.reads("*.broadcast.agent.>", reserved); got {
			t.Errorf("can read %s", reserved)
		}
	}
	t.Run("configured", func(t *testing.T) {
		s := openSite(t, func(c *Config) { c.Collectives = []string{"mcollective", "choria"} })
		p := s.peer(t, s.certificate("web1"))
		p.mustNotPublish(says)
		p.mustNotRead(map[string]string{"dc1.broadcast.agent.>": hears})
		p.mustPublish("choria.reply.x.y")
		p.mustRead(map[string]string{"choria.broadcast.agent.>": "choria.broadcast.agent.rpcutil"})
	})
}

func TestPermissionBuilder_PubSubjectsCannotOpenReserved(t *testing.T) {
	s := openSite(t, nil)
	claims := choria.ServerClaims("web1", []string{"choria"}, nil)
	claims.PubSubjects = []string{
		"cmdb.>", ">", "$JS.>", "$JS.API.STREAM.MSG.GET.CHORIA_REGISTRATION", "$SYS.>", "*.>",
		"choria.node_metadata.web1", "muster.>", "a b", "choria.streams.>",
	}
	p := s.peer(t, s.withToken(issue(t, claims, s.issuer, time.Now()))...)
	p.mustPublish("cmdb.registration.web1")
	p.mustBeNode("choria", "web1")
}
