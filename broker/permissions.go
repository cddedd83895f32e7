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

// allowance makes permissions. What they are made of is in Choria's own terms; see
// docs/security.md for where Muster allows less than Choria's broker does.
type allowance struct {
	ingest  []string        // subjects that adapters read
	private []string        // subjects that only the appliance writes
	buckets func() []string // streams that nodes may read
}

// subjects is what somebody may publish and subscribe to.
type subjects struct {
	publish, neverPublish, subscribe, neverSubscribe []string
}

func (s *subjects) pub(names ...string) { s.publish = append(s.publish, names...) }
func (s *subjects) sub(names ...string) { s.subscribe = append(s.subscribe, names...) }

// permissions are for NATS. A list that is empty would allow everything there. For each
// connection each entry costs about a kilobyte, so none is there in vain.
func (s *subjects) permissions() *server.Permissions {
	list := func(allow, deny []string) *server.SubjectPermission {
		if len(allow) == 0 {
			return &server.SubjectPermission{Deny: []string{">"}}
		}
		allow = widest(allow)
		deny = slices.DeleteFunc(widest(deny), func(name string) bool {
			return !slices.ContainsFunc(allow, func(allowed string) bool { return subject.Overlap(name, allowed) })
		})
		return &server.SubjectPermission{Allow: allow, Deny: deny}
	}
	return &server.Permissions{Publish: list(s.publish, s.neverPublish), Subscribe: list(s.subscribe, s.neverSubscribe)}
}

// widest leaves out every subject that another one covers.
func widest(names []string) []string {
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

// node is what decides what a node may do.
type node struct {
	identity                                   string
	collectives                                []string
	submission, streams, governor, serviceHost bool
	inbox                                      func(collective string) []string // where it gets replies to its own requests
	org                                        string
	extra                                      []string // further subjects to publish to
}

// tokenNode is for a node that has shown a token.
func (a allowance) tokenNode(c *choria.Claims) *server.Permissions {
	return a.node(node{
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

// certNode is for a node that has shown a certificate. Its inbox has no name in it, so
// where it may have one at all, it may have anybody's.
func (a allowance) certNode(name string, collectives []string, roles *Roles) *server.Permissions {
	n := node{
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
		n.inbox = openInbox
	}
	return a.node(n)
}

func (a allowance) node(n node) *server.Permissions {
	var s subjects
	if len(n.collectives) == 0 {
		return s.permissions()
	}
	s.pub("choria.lifecycle.>", "choria.machine.>")
	s.pub(a.ingest...)
	s.neverPublish = a.private
	s.neverSubscribe = slices.Clone(a.ingest)
	for _, c := range n.collectives {
		s.in(c, n)
	}
	if n.streams {
		s.sub(republished(n.org)...)
		for _, stream := range a.buckets() {
			s.pub(readStream(stream)...)
		}
	}
	for _, name := range n.extra {
		if a.mayAdd(name, n.streams) {
			s.pub(name)
		}
	}
	return s.permissions()
}

// in is what a node may do in one collective.
func (s *subjects) in(c string, n node) {
	s.pub(c+".reply.>", c+".broadcast.agent.registration", "choria.federation."+c+".collective")
	s.sub(c+".broadcast.agent.>", c+".node."+n.identity)
	s.sub(n.inbox(c)...)
	s.neverSubscribe = append(s.neverSubscribe, c+".broadcast.agent.registration")
	if n.serviceHost {
		s.sub(c + ".broadcast.service.>")
	}
	if n.submission {
		s.pub(c + ".submission.in.>")
	}
	if n.governor && n.streams {
		s.pub(c + ".governor.*")
	}
}

// reserved are subjects through which a node could read what others have registered, or
// act as the appliance. A token cannot open them, whatever its pub_subjects say.
var reserved = []string{"$JS.>", "$SYS.>", "choria.streams.>", "muster.>", "$KV.CHORIA_LEADER_ELECTION.>"}

// readable are what is stored in streams that a node with "streams" may read. It may not
// write there too: JetStream gives back what was written, headers and all, to any subject
// that is named as the reply.
var readable = []string{"$KV.>", "$O.>", "*.governor.>"}

func (a allowance) mayAdd(name string, reads bool) bool {
	reaches := func(private string) bool { return subject.Overlap(name, private) }
	return subject.Check(name) == nil && !slices.ContainsFunc(reserved, reaches) && !slices.ContainsFunc(a.private, reaches) &&
		!(reads && slices.ContainsFunc(readable, reaches))
}

// defaultOrg is the organization of who comes with a certificate.
const defaultOrg = "choria"

// republished is where streams may publish anew what they have stored.
func republished(org string) []string {
	if !validToken(org) {
		return nil
	}
	return []string{org + ".republish.>"}
}

// readStream is what it takes to read a stream, and nothing that changes or deletes what is
// in it. A governor is a stream that nodes write to: of that they get what is in it as JSON
// only, because everything else would come with the headers that they have written, from
// JetStream, on any subject that they name.
func readStream(stream string) []string {
	const api = "$JS.API."
	few := []string{api + "STREAM.INFO." + stream, api + "STREAM.MSG.GET." + stream}
	if strings.HasPrefix(stream, governorStream) {
		return few
	}
	return append(few,
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

// hashedInbox is where somebody with a token gets replies: no one else can be subscribed.
func hashedInbox(collective, name string) []string {
	short, long := md5.Sum([]byte(name)), sha256.Sum256([]byte(name))
	return []string{
		collective + ".reply." + hex.EncodeToString(short[:]) + ".>",
		collective + ".reply." + hex.EncodeToString(long[:]) + ".>",
	}
}

// openInbox is where somebody with a certificate gets replies of JetStream, and what a
// consumer delivers to it. Others' replies match it too.
func openInbox(collective string) []string {
	return []string{collective + ".reply.*.*", collective + ".reply.*"}
}

// What the names of streams begin with that nodes may read.
const (
	bucketStream   = "KV_"
	governorStream = "GOVERNOR_"
)

// ofNodes picks the streams that nodes may read: key-value buckets and governors, but not
// who leads what.
func ofNodes(streams []string) []string {
	return slices.DeleteFunc(streams, func(name string) bool {
		return name == "KV_CHORIA_LEADER_ELECTION" || !strings.HasPrefix(name, bucketStream) && !strings.HasPrefix(name, governorStream)
	})
}
