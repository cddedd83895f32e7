package broker

import (
	"slices"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats-server/v2/server"
)

// permissionSubjects are the subjects that each permission in a client's token adds.
var permissionSubjects = []struct {
	permissions        []string // one of them is enough
	publish, subscribe []string
}{
	{
		permissions: []string{"fleet_management", "signed_fleet_management"},
		publish:     []string{"*.broadcast.agent.>", "*.broadcast.service.>", "*.node.>", "choria.federation.*.federation"},
	},
	{
		permissions: []string{"events_viewer"},
		subscribe:   []string{"choria.lifecycle.event.>", "choria.machine.watcher.>", "choria.machine.transition"},
	},
	{
		permissions: []string{"election_user"},
		publish:     []string{"$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION", "$KV.CHORIA_LEADER_ELECTION.>"},
	},
	{
		permissions: []string{"streams_admin"},
		publish:     []string{"$JS.>"},
		subscribe:   []string{"$JS.EVENT.>"},
	},
	{
		permissions: []string{"streams_user"},
		publish: []string{
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*",
			"$JS.API.STREAM.MSG.GET.*", "$JS.API.STREAM.MSG.DELETE.*", "$JS.API.DIRECT.GET.*", "$JS.API.DIRECT.GET.*.>",
			"$JS.API.CONSUMER.CREATE.*", "$JS.API.CONSUMER.CREATE.*.>", "$JS.API.CONSUMER.DURABLE.CREATE.*.*",
			"$JS.API.CONSUMER.DELETE.*.*", "$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.LIST.*", "$JS.API.CONSUMER.INFO.*.*",
			"$JS.API.CONSUMER.MSG.NEXT.*.*", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>",
		},
	},
}

// tokenClient returns the permissions of a client with a token; nil allows everything.
func (b permissionBuilder) tokenClient(c *choria.Claims) *server.Permissions {
	if c.Permissions["org_admin"] {
		return nil
	}
	var s subjects
	s.allowPublish(c.PubSubjects...)
	s.allowSubscribe(c.SubSubjects...)
	s.allowSubscribe(hashedInbox("*", c.CallerID)...)
	return b.client(&s, c.OrgUnit, func(permission string) bool { return c.Permissions[permission] })
}

// certClient returns the permissions of a client with a certificate: it manages the fleet,
// reads its events and uses streams.
func (b permissionBuilder) certClient(callerID string, collectives []string) *server.Permissions {
	var s subjects
	s.allowSubscribe(hashedInbox("*", callerID)...)
	for _, c := range collectives {
		s.allowSubscribe(sharedInbox(c)...)
	}
	return b.client(&s, defaultOrg, func(permission string) bool {
		return permission == "fleet_management" || permission == "events_viewer" || permission == "streams_user"
	})
}

// client adds what the permissions of a client of the organization allow, but nothing that only
// administrators may do. Nothing allows requests
// to the server ($SYS), not even pub_subjects of ">": it sends its answer to any reply subject,
// for example that of a node's registrations. Choria's broker allows $SYS.REQ.USER.INFO, which
// Choria's clients do not use.
func (b permissionBuilder) client(s *subjects, org string, has func(permission string) bool) *server.Permissions {
	s.neverPublish = []string{"$SYS.>", contract.SubjectAdmin + ">"}
	for _, added := range permissionSubjects {
		if slices.ContainsFunc(added.permissions, has) {
			s.allowPublish(added.publish...)
			s.allowSubscribe(added.subscribe...)
		}
	}
	if has("streams_user") {
		s.allowSubscribe(republished(org)...)
	}
	if has("governor") && (has("streams_user") || has("streams_admin")) {
		s.allowPublish("*.governor.*", "choria.lifecycle.event.governor.>")
	}
	valid := func(names []string) []string {
		return slices.DeleteFunc(names, func(name string) bool { return subject.Check(name) != nil })
	}
	s.publish, s.subscribe = valid(s.publish), valid(s.subscribe)
	b.denyToken(s, has("streams_admin"))
	return s.permissions()
}
