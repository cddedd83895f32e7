package broker

import (
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/subject"
)

// What allows a publish or subscription that was refused. A role is a list in [broker.roles], for
// certificates; a permission is in a token. Administrators may do everything, so "nothing" leaves them out.
const (
	adviceNothing        = "nothing allows it"
	adviceCollective     = "broker.collectives, or the collectives in its token"
	adviceStreams        = "role or permission streams"
	adviceGovernor       = "roles or permissions governor and streams"
	adviceSubmission     = "broker.collectives, or permission submission"
	adviceAck            = "role submission"
	adviceServiceHost    = "role or permission service_host"
	adviceCompatible     = "role compatible, pub_subjects in its token, or ingest.topic of an adapter"
	adviceReader         = "role reader"
	adviceInbox          = "role reader, or the inbox prefix of its identity in place of _INBOX"
	adviceOwnInbox       = "nothing allows it, except in the inbox of its own identity"
	adviceOwnName        = "nothing allows it, except under the name of that node"
	adviceFleet          = "role client, or permission fleet_management"
	adviceEvents         = "role client, or permission events_viewer"
	adviceStreamsUser    = "role client, or permission streams_user"
	adviceElection       = "permission election_user"
	adviceStreamsAdmin   = "role or permission streams_admin"
	adviceClientGovernor = "role governor, or permissions governor and streams_user"
	adviceClientSubmits  = "role submission, or pub_subjects in its token"
	adviceBackup         = "role admin, or permission streams_admin"
	adviceAdmin          = "role admin, or permission org_admin"
	adviceSystem         = "the user of [broker.system]"
	advicePubSubjects    = "role admin, or pub_subjects in its token"
	adviceSubSubjects    = "role admin, or sub_subjects in its token"
	adviceConnectionName = "nothing allows it, except under the name that the connection gives itself"
	adviceSites          = "broker.sites, for an edge of that site"
	adviceLeafnodes      = "broker.leafnodes.peers, if that side may do it, and the collectives in broker.collectives"
)

// adviceRule is a row of a table: what allows the subjects that match the pattern.
type adviceRule struct{ kind, pattern, advice string }

// serverAdvice are subjects that only the server or the appliance uses.
var serverAdvice = []adviceRule{
	{rejected.Publish, "$NRG.>", adviceNothing},
	{rejected.Publish, "$GR.>", adviceNothing},
	{rejected.Publish, "_GR_.>", adviceNothing},
	{rejected.Subscribe, contract.SubjectWrite + ">", adviceNothing},
}

// nodeAdvice is for nodes; the first row that matches decides.
var nodeAdvice = []adviceRule{
	{rejected.Publish, "*.submission.in.>", adviceSubmission},
	{rejected.Publish, "*.governor.*", adviceGovernor},
	{rejected.Publish, "$JS.API.STREAM.MSG.DELETE.GOVERNOR_*", adviceGovernor},
	{rejected.Publish, "$JS.API.STREAM.INFO.KV_*", adviceStreams},
	{rejected.Publish, "$JS.API.STREAM.INFO.GOVERNOR_*", adviceStreams},
	{rejected.Publish, "$JS.API.STREAM.MSG.GET.KV_*", adviceStreams},
	{rejected.Publish, "$JS.API.STREAM.MSG.GET.GOVERNOR_*", adviceStreams},
	{rejected.Publish, "$JS.API.CONSUMER.CREATE.KV_*", adviceStreams},
	{rejected.Publish, "$JS.API.CONSUMER.CREATE.KV_*.>", adviceStreams},
	{rejected.Publish, "$JS.API.CONSUMER.DELETE.KV_*.*", adviceStreams},
	{rejected.Publish, "$JS.FC.KV_*.>", adviceStreams},
	{rejected.Publish, "$JS.API.INFO", adviceReader},
	{rejected.Publish, "$JS.API.STREAM.NAMES", adviceReader},
	{rejected.Publish, "$JS.API.STREAM.INFO.*", adviceReader},
	{rejected.Publish, "$JS.API.STREAM.MSG.GET.*", adviceReader},
	{rejected.Publish, "$JS.API.DIRECT.GET.>", adviceReader},
	{rejected.Publish, "$JS.API.CONSUMER.>", adviceReader},
	{rejected.Publish, "$JS.ACK.>", adviceReader},
	{rejected.Publish, "$JS.FC.>", adviceReader},
	{rejected.Publish, "$KV.CHORIA_LEADER_ELECTION.>", adviceNothing},
	{rejected.Publish, "$JS.>", adviceNothing},
	{rejected.Publish, "$SYS.>", adviceNothing},
	{rejected.Publish, "muster.>", adviceNothing},
	{rejected.Publish, "choria.streams.>", adviceNothing},
	{rejected.Publish, "*.reply.>", adviceCollective},
	{rejected.Publish, "*.broadcast.agent.registration", adviceCollective},
	{rejected.Publish, "choria.federation.*.collective", adviceCollective},
	{rejected.Publish, ">", adviceCompatible},

	{rejected.Subscribe, "*.broadcast.agent.>", adviceCollective},
	{rejected.Subscribe, "*.broadcast.service.>", adviceServiceHost},
	{rejected.Subscribe, "*.node.>", adviceOwnName},
	{rejected.Subscribe, "*.reply.>", adviceAck},
	{rejected.Subscribe, "*.republish.>", adviceStreams},
	{rejected.Subscribe, "_INBOX.>", adviceInbox},
	{rejected.Subscribe, "_INBOX_*.>", adviceOwnInbox},
}

// clientAdvice is for clients and administrators, in the same way.
var clientAdvice = []adviceRule{
	{rejected.Publish, "*.broadcast.agent.>", adviceFleet},
	{rejected.Publish, "*.broadcast.service.>", adviceFleet},
	{rejected.Publish, "*.node.>", adviceFleet},
	{rejected.Publish, "choria.federation.*.federation", adviceFleet},
	{rejected.Publish, "*.governor.*", adviceClientGovernor},
	{rejected.Publish, "choria.lifecycle.event.governor.>", adviceClientGovernor},
	{rejected.Publish, "*.submission.in.>", adviceClientSubmits},
	{rejected.Publish, "$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION", adviceElection},
	{rejected.Publish, "$KV.CHORIA_LEADER_ELECTION.>", adviceElection},
	{rejected.Publish, "$JS.API.STREAM.CREATE.*", adviceStreamsAdmin},
	{rejected.Publish, "$JS.API.STREAM.UPDATE.*", adviceStreamsAdmin},
	{rejected.Publish, "$JS.API.STREAM.DELETE.*", adviceStreamsAdmin},
	{rejected.Publish, "$JS.API.STREAM.PURGE.*", adviceStreamsAdmin},
	{rejected.Publish, "$JS.API.INFO", adviceStreamsUser},
	{rejected.Publish, "$JS.API.STREAM.NAMES", adviceStreamsUser},
	{rejected.Publish, "$JS.API.STREAM.LIST", adviceStreamsUser},
	{rejected.Publish, "$JS.API.STREAM.INFO.*", adviceStreamsUser},
	{rejected.Publish, "$JS.API.STREAM.MSG.*.*", adviceStreamsUser},
	{rejected.Publish, "$JS.API.DIRECT.GET.>", adviceStreamsUser},
	{rejected.Publish, "$JS.API.CONSUMER.CREATE.>", adviceStreamsUser},
	{rejected.Publish, "$JS.API.CONSUMER.DURABLE.CREATE.>", adviceStreamsUser},
	{rejected.Publish, "$JS.API.CONSUMER.DELETE.>", adviceStreamsUser},
	{rejected.Publish, "$JS.API.CONSUMER.NAMES.*", adviceStreamsUser},
	{rejected.Publish, "$JS.API.CONSUMER.LIST.*", adviceStreamsUser},
	{rejected.Publish, "$JS.API.CONSUMER.INFO.>", adviceStreamsUser},
	{rejected.Publish, "$JS.API.CONSUMER.MSG.NEXT.>", adviceStreamsUser},
	{rejected.Publish, "$JS.ACK.>", adviceStreamsUser},
	{rejected.Publish, "$JS.FC.>", adviceStreamsUser},
	{rejected.Publish, "$KV.>", adviceStreamsUser},
	{rejected.Publish, "$O.>", adviceStreamsUser},
	{rejected.Publish, "$JS.>", adviceBackup},
	{rejected.Publish, "$SYS.>", adviceSystem},
	{rejected.Publish, contract.SubjectAdmin + ">", adviceAdmin},
	{rejected.Publish, ">", advicePubSubjects},

	{rejected.Subscribe, "choria.lifecycle.event.>", adviceEvents},
	{rejected.Subscribe, "choria.machine.watcher.>", adviceEvents},
	{rejected.Subscribe, "choria.machine.transition", adviceEvents},
	{rejected.Subscribe, "*.republish.>", adviceStreamsUser},
	{rejected.Subscribe, "*.reply.>", adviceOwnInbox},
	{rejected.Subscribe, "_INBOX.>", adviceInbox},
	{rejected.Subscribe, "_INBOX_*.>", adviceOwnInbox},
	{rejected.Subscribe, "$JS.EVENT.>", adviceBackup},
	{rejected.Subscribe, "$SYS.>", adviceSystem},
	{rejected.Subscribe, ">", adviceSubSubjects},
}

// edgeAdvice is for edges, in the same way: they have no roles.
var edgeAdvice = []adviceRule{
	{rejected.Publish, contract.SubjectSites + "*.>", adviceSites},
	{rejected.Publish, contract.PrefixAPI + "DIRECT.GET.>", adviceSites},
	{rejected.Publish, ">", adviceNothing},
	{rejected.Subscribe, ">", adviceNothing},
}

// provisioningAdvice is for nodes in provisioning and the provisioner, in the same way: they have no roles.
var provisioningAdvice = []adviceRule{
	{rejected.Subscribe, "provisioning.node.>", adviceConnectionName},
	{rejected.Publish, ">", adviceNothing},
	{rejected.Subscribe, ">", adviceNothing},
}

// leafAdvice is for leaf nodes, in the same way: they have no roles. What may never cross is refused too.
var leafAdvice = []adviceRule{
	{rejected.Publish, "*.broadcast.agent.registration", adviceNothing},
	{rejected.Publish, "$*.>", adviceNothing},
	{rejected.Publish, "_*.>", adviceNothing},
	{rejected.Publish, "choria.>", adviceNothing},
	{rejected.Publish, "muster.>", adviceNothing},
	{rejected.Publish, "*.broadcast.>", adviceLeafnodes},
	{rejected.Publish, "*.node.>", adviceLeafnodes},
	{rejected.Publish, "*.reply.>", adviceLeafnodes},
	{rejected.Publish, ">", adviceNothing},
	{rejected.Subscribe, "*.broadcast.>", adviceLeafnodes},
	{rejected.Subscribe, "*.node.>", adviceLeafnodes},
	{rejected.Subscribe, "*.reply.>", adviceLeafnodes},
	{rejected.Subscribe, ">", adviceNothing},
}

// advice returns what would allow the publish or subscription that was refused to a connection.
func (b permissionBuilder) advice(p rejected.Permission) string {
	covers := func(pattern string) bool { return subject.Covers(pattern, p.Subject) }
	isNode, isRequest := p.Role == RoleNode.String(), p.Kind == rejected.Publish && strings.HasPrefix(p.Subject, "$JS.")
	switch {
	case isNode && p.Kind == rejected.Subscribe && covers("*.node."+p.Identity):
		return adviceCollective
	case isNode && slices.ContainsFunc(b.closed(p.Kind), covers):
		return adviceNothing
	case p.Role == RoleAdmin.String() && isRequest: // by the system user, in the system account
		return adviceAdmin
	}
	rules := clientAdvice
	switch {
	case isNode:
		rules = nodeAdvice
	case p.Role == RoleEdge.String():
		rules = edgeAdvice
	case p.Role == RoleProvisioning.String(), p.Role == RoleProvisioner.String():
		rules = provisioningAdvice
	case p.Role == RoleLeafnode.String():
		rules = leafAdvice
	}
	for _, r := range slices.Concat(serverAdvice, rules) {
		if r.kind == p.Kind && matchesSubject(r.pattern, p.Subject) {
			return r.advice
		}
	}
	return adviceNothing
}

// closed returns the subjects that no role opens to a node: output of adapters, and registrations of
// other nodes.
func (b permissionBuilder) closed(kind string) []string {
	if kind == rejected.Publish {
		return b.private
	}
	return slices.Concat([]string{"*.broadcast.agent.registration"}, b.private, b.registrationTopics())
}

// matchesSubject reports whether a subject matches a pattern: a subject with wildcards, in which a token may
// also end in a star.
func matchesSubject(pattern, name string) bool {
	wanted, tokens := strings.Split(pattern, "."), strings.Split(name, ".")
	for i, want := range wanted {
		prefix, anyEnd := strings.CutSuffix(want, "*")
		switch {
		case want == ">":
			return len(tokens) > i
		case i >= len(tokens):
			return false
		case anyEnd && !strings.HasPrefix(tokens[i], prefix), !anyEnd && tokens[i] != want:
			return false
		}
	}
	return len(wanted) == len(tokens)
}
