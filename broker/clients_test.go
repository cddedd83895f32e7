package broker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Subjects of clients.
var (
	fleetSubjects = []string{
		"mcollective.broadcast.agent.discovery", "mcollective.broadcast.service.aaa", "mcollective.node.web1",
		"choria.federation.x.federation",
	}
	eventSubjects = map[string]string{
		"choria.lifecycle.event.>":  "choria.lifecycle.event.startup.server",
		"choria.machine.transition": "choria.machine.transition",
	}
	streamSubjects = []string{
		"$JS.API.INFO", "$MUSTER.API.STREAM.INFO.CHORIA_REGISTRATION",
		"$MUSTER.API.CONSUMER.CREATE.CHORIA_REGISTRATION.x.y", "$KV.B.k",
	}
	deniedSubjects = []string{
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.PING.CONNZ", "choria.node_metadata.web1", "muster.x",
		"muster.admin.accept-loss.CHORIA_REGISTRATION",
	}
)

// inboxOf returns a subscription to the inbox of a client, and a subject in it.
func inboxOf(callerID string) map[string]string {
	inbox := "mcollective.reply." + hash(callerID)
	return map[string]string{inbox + ".>": inbox + ".id"}
}

func TestPermissionBuilder_ClientWithCertificate(t *testing.T) {
	s := openSite(t, nil)
	p := s.peer(t, s.certificate("rip.mcollective"))
	p.mustRead(inboxOf("choria=rip.mcollective"))
	p.mustRead(eventSubjects)
	p.mustPublish(slices.Concat(fleetSubjects, streamSubjects)...)
	p.mustNotPublish(append(deniedSubjects, "$JS.API.STREAM.DELETE.CHORIA_REGISTRATION")...)
	p.mustNotRead(map[string]string{">": "x", "mcollective.broadcast.agent.>": "mcollective.broadcast.agent.x"})
}

func TestPermissionBuilder_ClientsWithTokens(t *testing.T) {
	s := openSite(t, nil)
	for permission, test := range map[string]struct {
		publish []string
		read    map[string]string
	}{
		"":                        {nil, nil},
		"fleet_management":        {fleetSubjects, nil},
		"signed_fleet_management": {fleetSubjects, nil},
		"events_viewer":           {nil, eventSubjects},
		"election_user":           {[]string{"$KV.CHORIA_LEADER_ELECTION.x"}, nil},
		"streams_user":            {streamSubjects, map[string]string{"choria.republish.>": "choria.republish.x"}},
		"streams_admin":           {[]string{"$JS.API.STREAM.DELETE.X"}, map[string]string{"$JS.EVENT.>": "$JS.EVENT.x"}},
		"governor":                {nil, nil},
		"streams_user governor":   {[]string{"choria.governor.G"}, nil},
	} {
		t.Run("permission "+permission, func(t *testing.T) {
			callerID := "choria=" + strings.ReplaceAll(permission, " ", "+")
			p := s.peer(t, s.withToken(s.client(callerID, strings.Fields(permission)...))...)
			p.mustRead(inboxOf(callerID))
			p.mustPublish(test.publish...)
			p.mustRead(test.read)
			p.mustNotPublish(deniedSubjects...)
			p.mustNotRead(map[string]string{">": "x"})
			p.mustNotRead(inboxOf("choria=other"))
			if !strings.Contains(permission, "fleet") {
				p.mustNotPublish(fleetSubjects...)
			}
			if !strings.Contains(permission, "governor") || permission == "governor" {
				p.mustNotPublish("choria.governor.G")
			}
			if permission != "events_viewer" {
				p.mustNotRead(eventSubjects)
			}
		})
	}
}

func TestPermissionBuilder_ClientWithOwnSubjects(t *testing.T) {
	s := openSite(t, nil)
	claims := clientClaims("choria=x", nil)
	claims.PubSubjects = []string{"mine.>", "$JS.API.STREAM.*.KV_X", "$JS.API.CONSUMER.>"}
	claims.SubSubjects = []string{"ours.>"}
	p := s.peer(t, s.withToken(issue(t, claims, s.issuer, time.Now()))...)
	p.mustPublish("mine.x", "$MUSTER.API.STREAM.INFO.KV_X", "$MUSTER.API.CONSUMER.CREATE.S.c.f")
	p.mustNotPublish("$MUSTER.API.STREAM.INFO.KV_Y", "$MUSTER.API.STREAM.MSG.GET.KV_X")
	p.mustRead(map[string]string{"ours.>": "ours.x"})
}

func TestPermissionBuilder_AdministratorsMayDoEverything(t *testing.T) {
	s := openSite(t, nil)
	for name, options := range map[string][]nats.Option{
		"certificate": {s.certificate("root.example.net")},
		"token":       s.withToken(s.client("choria=boss", "org_admin")),
	} {
		t.Run(name, func(t *testing.T) {
			p := s.peer(t, options...)
			p.mustPublish("anything", "$JS.API.STREAM.DELETE.X")
			p.mustRead(map[string]string{">": "anything"})
		})
	}
}

func TestPermissionBuilder_OnlyAdministratorsAcceptLosses(t *testing.T) {
	s := openSite(t, nil)
	everything := clientClaims("choria=all", nil)
	everything.PubSubjects = []string{">", "muster.admin.>"}
	s.peer(t, s.withToken(issue(t, everything, s.issuer, time.Now()))...).mustNotPublish("muster.admin.accept-loss.S")
	s.peer(t, s.certificate("web1")).mustNotPublish("muster.admin.accept-loss.S")
	s.peer(t, s.certificate("root.example.net")).mustPublish("muster.admin.accept-loss.S")
}

// The server answers requests to $SYS.REQ with its own permissions, to any reply subject: a client
// must not be able to have an answer stored as a node's registration.
func TestPermissionBuilder_ClientsCannotAimTheServersAnswers(t *testing.T) {
	s := openSite(t, nil)
	stored := internalConn(t, s.broker)
	answers, err := stored.SubscribeSync("choria.node_metadata.>")
	if err != nil {
		t.Fatal(err)
	}
	everything := clientClaims("choria=all", nil)
	everything.PubSubjects = []string{">"}
	for name, options := range map[string][]nats.Option{
		"no permissions":     s.withToken(s.client("choria=none")),
		"election_user":      s.withToken(s.client("choria=election", "election_user")),
		"streams_admin":      s.withToken(s.client("choria=admin", "streams_admin")),
		"pub_subjects of >":  s.withToken(issue(t, everything, s.issuer, time.Now())),
		"certificate":        {s.certificate("rip.mcollective")},
		"node's certificate": {s.certificate("web1")},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := s.connect(options...)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			for _, subject := range []string{
				"$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.STATZ", "$SYS.REQ.SERVER.PING.CONNZ",
			} {
				if err := nc.PublishRequest(subject, "choria.node_metadata.web2", nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if m, err := answers.NextMsg(200 * time.Millisecond); err == nil {
				t.Errorf("the server answered to %s: %.80s", m.Subject, m.Data)
			}
		})
	}
}
