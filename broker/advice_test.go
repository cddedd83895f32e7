package broker

import (
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats-server/v2/server"
)

// adviceTest is a refused subject, and what would allow it.
type adviceTest struct {
	role          Role
	kind, subject string
	want          string
}

var adviceTests = []adviceTest{
	{RoleNode, rejected.Publish, "cmdb.registration.node1", adviceCompatible},
	{RoleNode, rejected.Publish, "$KV.CONFIG.color", adviceCompatible},
	{RoleNode, rejected.Publish, "mcollective.broadcast.agent.rpcutil", adviceCompatible},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.INFO.KV_CONFIG", adviceStreams},
	{RoleNode, rejected.Publish, "$JS.API.CONSUMER.CREATE.KV_CONFIG.>", adviceStreams},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION", adviceStreams},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.INFO.CHORIA_MACHINE", adviceReader},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G", adviceGovernor},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.DELETE.KV_CONFIG", adviceNothing},
	{RoleNode, rejected.Publish, "mcollective.governor.G", adviceGovernor},
	{RoleNode, rejected.Publish, "mcollective.submission.in.x", adviceSubmission},
	{RoleNode, rejected.Publish, "dc1.reply.>", adviceCollective},
	{RoleNode, rejected.Publish, "choria.node_metadata.web1", adviceNothing},
	{RoleNode, rejected.Publish, "$SYS.REQ.SERVER.PING", adviceNothing},
	{RoleNode, rejected.Reply, "_R_.x", adviceNothing},
	{RoleNode, rejected.Subscribe, "mcollective.reply.x.y", adviceAck},
	{RoleNode, rejected.Subscribe, "_INBOX.x", adviceInbox},
	{RoleNode, rejected.Subscribe, "_INBOX_0123.>", adviceOwnInbox},
	{RoleNode, rejected.Subscribe, "mcollective.broadcast.service.>", adviceServiceHost},
	{RoleNode, rejected.Subscribe, "dc1.broadcast.agent.>", adviceCollective},
	{RoleNode, rejected.Subscribe, "dc1.node.web1.example.net", adviceCollective},
	{RoleNode, rejected.Subscribe, "dc1.node.web2.example.net", adviceOwnName},
	{RoleNode, rejected.Subscribe, "dc1.broadcast.agent.registration", adviceNothing},
	{RoleNode, rejected.Subscribe, "choria.node_metadata.>", adviceNothing},
	{RoleNode, rejected.Subscribe, ">", adviceNothing},
	{RoleClient, rejected.Publish, "mcollective.node.>", adviceFleet},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.CREATE.KV_CONFIG", adviceStreamsAdmin},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.SNAPSHOT.KV_CONFIG", adviceBackup},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.INFO.KV_CONFIG", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$KV.CHORIA_LEADER_ELECTION.x", adviceElection},
	{RoleClient, rejected.Publish, "mcollective.governor.G", adviceClientGovernor},
	{RoleClient, rejected.Publish, "mcollective.submission.in.x", adviceClientSubmits},
	{RoleClient, rejected.Publish, "muster.admin.accept-loss.X", adviceAdmin},
	{RoleClient, rejected.Publish, "$SYS.REQ.USER.INFO", adviceSystem},
	{RoleClient, rejected.Publish, "cmdb.x", advicePubSubjects},
	{RoleClient, rejected.Publish, "$NRG.x", adviceNothing},
	{RoleClient, rejected.Subscribe, "_INBOX.x", adviceInbox},
	{RoleClient, rejected.Subscribe, "mcollective.reply.>", adviceOwnInbox},
	{RoleClient, rejected.Subscribe, "choria.lifecycle.event.>", adviceEvents},
	{RoleClient, rejected.Subscribe, "$JS.EVENT.>", adviceBackup},
	{RoleClient, rejected.Subscribe, "cmdb.>", adviceSubSubjects},
	{RoleClient, rejected.Subscribe, "muster.write.>", adviceNothing},
	{RoleAdmin, rejected.Publish, "$JS.API.STREAM.CREATE.KV_CONFIG", adviceAdmin},
	{RoleAdmin, rejected.Publish, "mcollective.broadcast.agent.rpcutil", adviceFleet},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.INFO.GOVERNOR_G", adviceStreams},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.MSG.GET.KV_CONFIG", adviceStreams},
	{RoleNode, rejected.Publish, "$JS.API.STREAM.MSG.GET.GOVERNOR_G", adviceStreams},
	{RoleNode, rejected.Publish, "$JS.API.CONSUMER.CREATE.KV_CONFIG", adviceStreams},
	{RoleNode, rejected.Publish, "$JS.FC.KV_CONFIG.>", adviceStreams},
	{RoleNode, rejected.Subscribe, "choria.republish.x", adviceStreams},
	{RoleEdge, rejected.Publish, "choria.sites.bru.>", adviceSites},
	{RoleEdge, rejected.Publish, "$JS.API.DIRECT.GET.CHORIA_REGISTRATION.choria.sites.bru.>", adviceSites},
	{RoleEdge, rejected.Publish, "$JS.API.STREAM.NAMES", adviceNothing},
	{RoleEdge, rejected.Publish, "choria.node_metadata.web1", adviceNothing},
	{RoleEdge, rejected.Reply, "_R_.x", adviceNothing},
	{RoleProvisioning, rejected.Subscribe, "provisioning.node.web2", adviceConnectionName},
	{RoleProvisioning, rejected.Subscribe, "choria.node.web2", adviceNothing},
	{RoleProvisioning, rejected.Publish, "mcollective.broadcast.agent.registration", adviceNothing},
	{RoleProvisioner, rejected.Publish, "mcollective.broadcast.agent.rpcutil", adviceNothing},
	{RoleProvisioner, rejected.Publish, "$JS.API.STREAM.INFO.KV_CONFIG", adviceNothing},
	{RoleEdge, rejected.Subscribe, "_INBOX_0123.>", adviceNothing},
	{RoleEdge, rejected.Subscribe, ">", adviceNothing},
	{RoleClient, rejected.Publish, "mcollective.broadcast.service.x", adviceFleet},
	{RoleClient, rejected.Publish, "choria.federation.x.federation", adviceFleet},
	{RoleClient, rejected.Publish, "choria.lifecycle.event.governor.x", adviceClientGovernor},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION", adviceElection},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.UPDATE.X", adviceStreamsAdmin},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.DELETE.X", adviceStreamsAdmin},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.PURGE.X", adviceStreamsAdmin},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.NAMES", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.LIST", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.STREAM.MSG.DELETE.X", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.DIRECT.GET.X", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.CONSUMER.CREATE.X.>", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.CONSUMER.DURABLE.CREATE.X.*", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.CONSUMER.DELETE.X.*", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.CONSUMER.NAMES.X", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.CONSUMER.LIST.X", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.CONSUMER.INFO.X.*", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.API.CONSUMER.MSG.NEXT.X.*", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.ACK.X.>", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$JS.FC.X.>", adviceStreamsUser},
	{RoleClient, rejected.Publish, "$O.X.x", adviceStreamsUser},
	{RoleClient, rejected.Subscribe, "choria.machine.transition", adviceEvents},
	{RoleClient, rejected.Subscribe, "choria.republish.x", adviceStreamsUser},
}

func TestPermissionBuilder_Advice(t *testing.T) {
	b := openSite(t, nil).broker.auth.permissions
	for _, test := range adviceTests {
		p := rejected.Permission{
			Identity: "web1.example.net", Role: test.role.String(), Kind: test.kind, Subject: test.subject,
		}
		t.Run(p.Role+" "+p.Kind+" "+p.Subject, func(t *testing.T) {
			if have := b.advice(p); have != test.want {
				t.Errorf("%q, want %q", have, test.want)
			}
		})
	}
}

// What the advice names allows what was refused, and without it that is refused: the tables of the advice
// and of the permissions are apart.
func TestPermissionBuilder_AdviceHolds(t *testing.T) {
	const name = "web1"
	s := openSite(t, nil)
	createStreams(t, s)
	b := s.broker.auth.permissions
	node := func(permissions ...string) *server.Permissions {
		claims := choria.ServerClaims(name, []string{"mcollective"}, nil)
		claims.Permissions = permitted(permissions)
		return b.tokenNode(&claims)
	}
	client := func(permissions ...string) *server.Permissions {
		claims := clientClaims(name, permitted(permissions))
		return b.tokenClient(&claims)
	}
	without := map[Role]*server.Permissions{RoleNode: node(), RoleClient: client(), RoleAdmin: client()}
	certNode := func(r Roles) *server.Permissions { return b.certNode(name, []string{"mcollective"}, &r) }
	certClient := func(r Roles) *server.Permissions { return b.certClient(name, &r) }
	without[RoleEdge] = edgePermissions([]string{"ams"})
	only := []string{name}
	for advice, with := range map[string][]*server.Permissions{
		adviceStreams:        {node("streams"), certNode(Roles{Streams: only})},
		adviceGovernor:       {node("governor", "streams"), certNode(Roles{Governor: only, Streams: only})},
		adviceSubmission:     {node("submission"), certNode(Roles{})},
		adviceAck:            {certNode(Roles{Submission: only})},
		adviceServiceHost:    {node("service_host"), certNode(Roles{ServiceHost: only})},
		adviceCompatible:     {certNode(Roles{Compatible: only})},
		adviceReader:         {b.readerPermissions(name, []string{"CHORIA_MACHINE"})},
		adviceInbox:          {b.readerPermissions(name, []string{"CHORIA_MACHINE"})},
		adviceFleet:          {client("fleet_management"), certClient(Roles{})},
		adviceEvents:         {client("events_viewer"), certClient(Roles{})},
		adviceStreamsUser:    {client("streams_user"), certClient(Roles{})},
		adviceElection:       {client("election_user")},
		adviceStreamsAdmin:   {client("streams_admin"), certClient(Roles{StreamsAdmin: only})},
		adviceBackup:         {client("streams_admin")},
		adviceClientGovernor: {client("governor", "streams_user"), certClient(Roles{Governor: only})},
		adviceClientSubmits:  {certClient(Roles{Submission: only})},
		adviceSites:          {edgePermissions([]string{"ams", "bru"})},
	} {
		for _, test := range adviceTests {
			governorLeave := strings.Contains(test.subject, "MSG.DELETE.GOVERNOR_") // the appliance decides
			if test.want != advice || governorLeave {
				continue
			}
			if isAllowed(without[test.role], test.kind, test.subject) {
				t.Errorf("%s %s is allowed without %s", test.kind, test.subject, advice)
			}
			for _, permissions := range with {
				if !isAllowed(permissions, test.kind, test.subject) {
					t.Errorf("%s %s is refused with %s", test.kind, test.subject, advice)
				}
			}
		}
	}
}

// isAllowed reports whether permissions allow a subject.
func isAllowed(p *server.Permissions, kind, name string) bool {
	list := p.Publish
	if kind == rejected.Subscribe {
		list = p.Subscribe
	}
	names := []string{name}
	if rest, ok := strings.CutPrefix(name, "$JS.API."); ok {
		names = append(names, contract.SubjectChecked+rest)
	}
	covered := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			return slices.ContainsFunc(names, func(name string) bool { return subject.Covers(pattern, name) })
		})
	}
	return covered(list.Allow) && !covered(list.Deny)
}
