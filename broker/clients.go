package broker

import (
	"slices"
	"strings"

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
		publish: []string{
			contract.SubjectChecked + "STREAM.INFO.KV_CHORIA_LEADER_ELECTION", "$KV.CHORIA_LEADER_ELECTION.>",
		},
	},
	{
		permissions: []string{"streams_admin"},
		publish:     []string{"$JS.>", contract.SubjectChecked + ">"},
		subscribe:   []string{"$JS.EVENT.>"},
	},
	{
		permissions: []string{"streams_user"},
		publish: []string{
			contract.SubjectChecked + ">",
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.DIRECT.GET.*", "$JS.API.DIRECT.GET.*.>",
			"$JS.API.CONSUMER.DURABLE.CREATE.*.*", "$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.LIST.*",
			"$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*",
			"$JS.ACK.>", flowControl, "$KV.>", "$O.>",
		},
	},
	{
		permissions: []string{roleStreamsAdmin},
		publish: []string{
			"$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.DELETE.*", "$JS.API.STREAM.PURGE.*",
		},
	},
	{
		permissions: []string{roleSubmission},
		publish:     []string{"*.submission.in.>"},
	},
}

// Roles of certificates of clients that no permission of a token corresponds to.
const (
	roleStreamsAdmin = "role streams_admin" // less than the permission: no backups, no advisories
	roleSubmission   = "role submission"
)

// tokenClient returns the permissions of a client with a token; nil allows everything.
func (b permissionBuilder) tokenClient(c *choria.Claims) *server.Permissions {
	if c.Permissions["org_admin"] {
		return nil
	}
	var s subjects
	for _, name := range c.PubSubjects {
		s.allowPublish(name)
		s.allowPublish(checkedSubjects(name)...)
	}
	s.allowSubscribe(c.SubSubjects...)
	s.allowSubscribe(hashedInbox("*", c.CallerID)...)
	return b.client(&s, c.OrgUnit, func(permission string) bool { return c.Permissions[permission] })
}

// checkedSubjects returns the subjects at contract.SubjectChecked that stand for the requests to JetStream's
// API which the name includes.
func checkedSubjects(name string) (all []string) {
	if subject.Check(name) != nil {
		return nil
	}
	for _, request := range contract.CheckedRequests() {
		if both, ok := subject.Intersect(name, contract.PrefixAPI+request); ok {
			all = append(all, contract.SubjectChecked+strings.TrimPrefix(both, contract.PrefixAPI))
		}
	}
	return all
}

// certClient returns the permissions of a client with a certificate: it manages the fleet,
// reads its events and uses streams. Roles add to that.
func (b permissionBuilder) certClient(name string, roles *Roles) *server.Permissions {
	has := map[string]bool{"fleet_management": true, "events_viewer": true, "streams_user": true}
	compatible := matches(roles.Compatible, name)
	has["governor"] = compatible || matches(roles.Governor, name)
	has["election_user"] = compatible
	has[roleStreamsAdmin] = compatible || matches(roles.StreamsAdmin, name)
	has[roleSubmission] = compatible || matches(roles.Submission, name)
	var s subjects
	s.allowSubscribe(hashedInbox("*", certCaller(name))...)
	s.allowSubscribe(b.certInbox(name)...)
	return b.client(&s, defaultOrg, func(permission string) bool { return has[permission] })
}

// certCaller returns the caller id of a client with a certificate.
func certCaller(name string) string { return "choria=" + name }

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
