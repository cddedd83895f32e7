package broker

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats-server/v2/server"
)

// permissionBuilder builds the permissions of nodes and clients from what Choria calls
// permissions. See docs/security.md for where Muster allows less than Choria's broker does.
type permissionBuilder struct {
	ingest          []string        // subjects that adapters read
	private         []string        // subjects that only the appliance publishes to
	privateStreams  []string        // names of the streams that only the appliance writes to
	readableStreams func() []string // streams that nodes may read
}

// subjects are what a connection may publish and subscribe to.
type subjects struct {
	publish, neverPublish, subscribe, neverSubscribe []string
}

func (s *subjects) allowPublish(names ...string)   { s.publish = append(s.publish, names...) }
func (s *subjects) allowSubscribe(names ...string) { s.subscribe = append(s.subscribe, names...) }

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
	collectives                                []string
	submission, streams, governor, serviceHost bool
	inbox                                      func(collective string) []string // for replies to its own requests
	org                                        string                           // organization
	extra                                      []string                         // pub_subjects of its token
}

// tokenNode returns the permissions of a node with a token.
func (b permissionBuilder) tokenNode(c *choria.Claims) *server.Permissions {
	return b.node(nodeAccess{
		identity:    c.Identity,
		collectives: slices.DeleteFunc(slices.Clone(c.Collectives), func(name string) bool { return !validToken(name) }),
		submission:  c.Permissions["submission"],
		streams:     c.Permissions["streams"],
		governor:    c.Permissions["governor"],
		serviceHost: c.Permissions["service_host"],
		inbox:       func(collective string) []string { return hashedInbox(collective, c.Identity) },
		org:         c.OrgUnit,
		extra:       c.PubSubjects,
	})
}

// certNode returns the permissions of a node with a certificate. The subjects of its inbox
// do not contain its name: a node with an inbox can read the inboxes of all nodes.
func (b permissionBuilder) certNode(name string, collectives []string, roles *Roles) *server.Permissions {
	n := nodeAccess{
		identity:    name,
		collectives: collectives,
		submission:  true,
		streams:     matches(roles.Streams, name),
		governor:    matches(roles.Governor, name),
		serviceHost: matches(roles.ServiceHost, name),
		inbox:       func(string) []string { return nil },
		org:         defaultOrg,
	}
	if n.streams {
		n.inbox = sharedInbox
	}
	return b.node(n)
}

func (b permissionBuilder) node(n nodeAccess) *server.Permissions {
	var s subjects
	if len(n.collectives) == 0 {
		return s.permissions()
	}
	s.allowPublish("choria.lifecycle.>", "choria.machine.>")
	s.allowPublish(b.ingest...)
	s.neverPublish = b.private
	s.neverSubscribe = slices.Clone(b.ingest)
	for _, c := range n.collectives {
		s.collective(c, n)
	}
	if n.streams {
		s.allowSubscribe(republished(n.org)...)
		for _, stream := range b.readableStreams() {
			s.allowPublish(readSubjects(stream)...)
		}
	}
	for _, name := range n.extra {
		if b.allowsTokenSubject(name, n.streams) {
			s.allowPublish(name)
		}
	}
	return s.permissions()
}

// collective adds what a node may do in the collective c.
func (s *subjects) collective(c string, n nodeAccess) {
	s.allowPublish(c+".reply.>", c+".broadcast.agent.registration", "choria.federation."+c+".collective")
	s.allowSubscribe(c+".broadcast.agent.>", c+".node."+n.identity)
	s.allowSubscribe(n.inbox(c)...)
	s.neverSubscribe = append(s.neverSubscribe, c+".broadcast.agent.registration")
	if n.serviceHost {
		s.allowSubscribe(c + ".broadcast.service.>")
	}
	if n.submission {
		s.allowPublish(c + ".submission.in.>")
	}
	if n.governor && n.streams {
		s.allowPublish(c + ".governor.*")
	}
}

// reserved are subjects through which a node could read what other nodes registered, or act
// as the appliance. The pub_subjects of a token cannot open them.
var reserved = []string{"$JS.>", "$SYS.>", "choria.streams.>", "muster.>", "$KV.CHORIA_LEADER_ELECTION.>"}

// storedSubjects are the subjects of streams that a node with "streams" may read. Such a node
// must not publish there: it could store a message with headers and let JetStream send it to any
// subject.
var storedSubjects = []string{"$KV.>", "$O.>", "*.governor.>"}

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

// readSubjects returns the API subjects that read a stream, and none that change it or delete
// messages of others. For a governor it returns only the subjects that answer in JSON: the others
// send the stored headers, which a node wrote, to any reply subject.
func readSubjects(stream string) []string {
	const api = "$JS.API."
	asJSON := []string{api + "STREAM.INFO." + stream, api + "STREAM.MSG.GET." + stream}
	if strings.HasPrefix(stream, governorStream) {
		return append(asJSON, api+"STREAM.MSG.DELETE."+stream) // only its own entries, see internal/privatestream
	}
	return append(asJSON,
		api+"DIRECT.GET."+stream,
		api+"DIRECT.GET."+stream+".>",
		api+"CONSUMER.CREATE."+stream,
		api+"CONSUMER.CREATE."+stream+".>",
		api+"CONSUMER.DURABLE.CREATE."+stream+".*",
		api+"CONSUMER.INFO."+stream+".*",
		api+"CONSUMER.MSG.NEXT."+stream+".*",
		"$JS.ACK."+stream+".>",
		"$JS.FC."+stream+".>",
	)
}

// hashedInbox returns where a connection with a token receives replies. No other node or client
// may subscribe there.
func hashedInbox(collective, name string) []string {
	short, long := md5.Sum([]byte(name)), sha256.Sum256([]byte(name))
	return []string{
		collective + ".reply." + hex.EncodeToString(short[:]) + ".>",
		collective + ".reply." + hex.EncodeToString(long[:]) + ".>",
	}
}

// sharedInbox returns where a connection with a certificate receives replies of JetStream and
// messages of consumers. The replies to other connections match these subjects too.
func sharedInbox(collective string) []string {
	return []string{collective + ".reply.*.*", collective + ".reply.*"}
}
