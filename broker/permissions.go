package broker

import (
	"slices"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats-server/v2/server"
)

// permissionBuilder builds the permissions of nodes and clients from what Choria calls
// permissions. See docs/security.md for where Muster allows less than Choria's broker does.
type permissionBuilder struct {
	ingest         []string // subjects that adapters read
	private        []string // subjects that only the appliance publishes to
	mainCollective string   // of the inboxes of connections with certificates
}

// subjects are what a connection may publish and subscribe to.
type subjects struct {
	publish, neverPublish, subscribe, neverSubscribe []string
}

func (s *subjects) allowPublish(names ...string)   { s.publish = append(s.publish, names...) }
func (s *subjects) allowSubscribe(names ...string) { s.subscribe = append(s.subscribe, names...) }
func (s *subjects) denyPublish(names ...string)    { s.neverPublish = append(s.neverPublish, names...) }
func (s *subjects) denySubscribe(names ...string) {
	s.neverSubscribe = append(s.neverSubscribe, names...)
}

// permissions returns the subjects in the form of NATS. In NATS an empty list allows everything.
// Entries without effect are removed because each costs 1 KiB per connection.
func (s *subjects) permissions() *server.Permissions {
	list := func(allow, deny []string) *server.SubjectPermission {
		if len(allow) == 0 {
			return &server.SubjectPermission{Deny: []string{">"}}
		}
		allow = withoutCovered(allow)
		deny = slices.DeleteFunc(withoutCovered(deny), func(name string) bool {
			return !slices.ContainsFunc(allow, func(allowed string) bool { return subject.Overlap(name, allowed) })
		})
		return &server.SubjectPermission{Allow: allow, Deny: deny}
	}
	return &server.Permissions{Publish: list(s.publish, s.neverPublish), Subscribe: list(s.subscribe, s.neverSubscribe)}
}

// withoutCovered leaves out every subject that another one covers.
func withoutCovered(names []string) []string {
	var kept []string
	for i, name := range names {
		covered := false
		for j, other := range names {
			covered = covered || i != j && subject.Covers(other, name) && (j < i || !subject.Covers(name, other))
		}
		if !covered {
			kept = append(kept, name)
		}
	}
	return kept
}

// nodeAccess is what the permissions of a node depend on.
type nodeAccess struct {
	identity                                   string
	collectives                                []string // anyCollective: all
	submission, streams, governor, serviceHost bool
	inbox                                      []string // for replies to its own requests
	org                                        string   // organization
	extra                                      []string // pub_subjects of its token
}

// tokenNode returns the permissions of a node with a token.
func (b permissionBuilder) tokenNode(c *choria.Claims) *server.Permissions {
	n := nodeAccess{
		identity:    c.Identity,
		collectives: slices.DeleteFunc(slices.Clone(c.Collectives), func(name string) bool { return !validToken(name) }),
		submission:  c.Permissions["submission"],
		streams:     c.Permissions["streams"],
		governor:    c.Permissions["governor"],
		serviceHost: c.Permissions["service_host"],
		org:         c.OrgUnit,
		extra:       c.PubSubjects,
	}
	for _, collective := range n.collectives {
		n.inbox = append(n.inbox, hashedInbox(collective, c.Identity)...)
	}
	return b.node(n)
}

// certNode returns the permissions of a node with a certificate. The collectives are those that its
// requests may come from; none: anyCollective.
func (b permissionBuilder) certNode(name string, collectives []string, roles *Roles) *server.Permissions {
	if matches(roles.Compatible, name) {
		return b.compatibleNode(name)
	}
	n := nodeAccess{
		identity:    name,
		collectives: collectives,
		submission:  true,
		streams:     matches(roles.Streams, name),
		governor:    matches(roles.Governor, name),
		serviceHost: matches(roles.ServiceHost, name),
		org:         defaultOrg,
	}
	if len(collectives) == 0 {
		n.collectives = []string{anyCollective}
	}
	if n.streams || matches(roles.Submission, name) {
		n.inbox = b.certInbox(name)
	}
	return b.node(n)
}

func (b permissionBuilder) node(n nodeAccess) *server.Permissions {
	var s subjects
	if len(n.collectives) == 0 {
		return s.permissions()
	}
	s.allowPublish("choria.lifecycle.>", "choria.machine.>")
	s.allowPublish(b.registrationTopics()...)
	s.denyPublish(b.private...)
	s.denySubscribe(b.registrationTopics()...)
	s.allowSubscribe(n.inbox...)
	for _, c := range n.collectives {
		s.collective(c, n)
	}
	if n.streams {
		s.allowSubscribe(republished(n.org)...)
		s.allowPublish(contract.SubjectChecked+">", flowControl)
	}
	for _, name := range n.extra {
		if b.allowsTokenSubject(name, n.streams) {
			s.allowPublish(name)
		}
	}
	return s.permissions()
}

// collective adds what a node may do in the collective c, or in anyCollective.
func (s *subjects) collective(c string, n nodeAccess) {
	s.allowPublish(c+".reply.>", c+".broadcast.agent.registration", "choria.federation."+c+".collective")
	s.allowSubscribe(c+".broadcast.agent.>", c+".node."+n.identity)
	s.denySubscribe(c + ".broadcast.agent.registration")
	if n.serviceHost {
		s.allowSubscribe(c + ".broadcast.service.>")
	}
	if n.submission {
		s.allowPublish(c + ".submission.in.>")
	}
	if n.governor && n.streams {
		s.allowPublish(c + ".governor.*")
	}
	if c == anyCollective {
		s.denyPublish(reservedPublish...)
		s.denySubscribe(reservedSubscribe...)
	}
}

// anyCollective stands for the collectives of nodes with certificates if none are configured.
const anyCollective = "*"

// reservedPublish and reservedSubscribe are what anyCollective does not include, because Choria, Muster and NATS
// use these names as the first token of other subjects. Below "choria" a node may publish its events; nothing is
// sent to nodes below the others.
var (
	reservedPublish = []string{
		"muster.>", "choria.broadcast.>", "choria.reply.>", "choria.submission.>", "choria.governor.>", "$KV.>", "$O.>",
	}
	reservedSubscribe = []string{"choria.broadcast.>"}
)

// AllowsCollective reports whether nodes with certificates may be in a collective.
func (c *Config) AllowsCollective(name string) bool {
	if len(c.Collectives) > 0 {
		return slices.Contains(c.Collectives, name)
	}
	return validToken(name) && name != "choria" && name != "muster"
}

// reserved are subjects through which a node could read what other nodes registered, or act
// as the appliance. The pub_subjects of a token cannot open them.
var reserved = []string{
	"$JS.>", "$SYS.>", "$MUSTER.>", "choria.streams.>", "muster.>", "$KV.CHORIA_LEADER_ELECTION.>",
}

// storedSubjects are the subjects of streams that a node with "streams" may read. Such a node
// must not publish there: it could store a message with headers and let JetStream send it to any
// subject.
var storedSubjects = []string{"$KV.>", "$O.>", "*.governor.>"}

// flowControl is where the receiver of a push consumer answers. Each subject has a random token.
const flowControl = "$JS.FC.>"

// allowsTokenSubject reports whether the pub_subjects of a node's token may contain the name. readsStreams
// is whether the node may read streams.
func (b permissionBuilder) allowsTokenSubject(name string, readsStreams bool) bool {
	overlaps := func(other string) bool { return subject.Overlap(name, other) }
	return subject.Check(name) == nil && !slices.ContainsFunc(reserved, overlaps) &&
		!slices.ContainsFunc(b.private, overlaps) && !(readsStreams && slices.ContainsFunc(storedSubjects, overlaps))
}

// defaultOrg is the organization of nodes and clients with certificates.
const defaultOrg = "choria"

// republished returns the subjects where streams of the organization may republish messages.
func republished(org string) []string {
	if !validToken(org) {
		return nil
	}
	return []string{org + ".republish.>"}
}
