package broker

import (
	"slices"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats-server/v2/server"
)

// clientGrants are what each permission in a client's token adds.
var clientGrants = []struct {
	permissions        []string // any of them
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

// tokenClient is for a client that has shown a token; nil is everything.
func (a allowance) tokenClient(c *choria.Claims) *server.Permissions {
	if c.Permissions["org_admin"] {
		return nil
	}
	var s subjects
	s.pub(c.PubSubjects...)
	s.sub(c.SubSubjects...)
	s.sub(hashedInbox("*", c.CallerID)...)
	return s.client(c.OrgUnit, func(permission string) bool { return c.Permissions[permission] })
}

// certClient is for a client that has shown a certificate: it manages the fleet, sees its
// events and uses streams.
func (a allowance) certClient(caller string, collectives []string) *server.Permissions {
	var s subjects
	s.sub(hashedInbox("*", caller)...)
	for _, c := range collectives {
		s.sub(openInbox(c)...)
	}
	return s.client(defaultOrg, func(permission string) bool {
		return permission == "fleet_management" || permission == "events_viewer" || permission == "streams_user"
	})
}

func (s *subjects) client(org string, has func(permission string) bool) *server.Permissions {
	s.pub("$SYS.REQ.USER.INFO")
	for _, grant := range clientGrants {
		if slices.ContainsFunc(grant.permissions, has) {
			s.pub(grant.publish...)
			s.sub(grant.subscribe...)
		}
	}
	if has("streams_user") {
		s.sub(republished(org)...)
	}
	if has("governor") && (has("streams_user") || has("streams_admin")) {
		s.pub("*.governor.*", "choria.lifecycle.event.governor.>")
	}
	valid := func(names []string) []string {
		return slices.DeleteFunc(names, func(name string) bool { return subject.Check(name) != nil })
	}
	s.publish, s.subscribe = valid(s.publish), valid(s.subscribe)
	return s.permissions()
}
