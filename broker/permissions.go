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
	publish, subscribe, neverSubscribe []string
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
	return &server.Permissions{Publish: list(s.publish, nil), Subscribe: list(s.subscribe, s.neverSubscribe)}
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
	if len(n.collectives) == 0 {
		return (&subjects{}).permissions()
	}
	var s subjects
	s.pub("choria.lifecycle.>", "choria.machine.transition", "choria.machine.watcher.>")
	s.pub(a.ingest...)
	s.neverSubscribe = append(s.neverSubscribe, a.ingest...)
	for _, c := range n.collectives {
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
	if n.streams {
		s.sub(n.org + ".republish.>")
		for _, stream := range a.buckets() {
			s.pub(readStream(apiPrefix(n.org), stream)...)
			// A consumer can deliver to any subject, whoever made it. What a node has put
			// into a governor itself may not go that way.
			if !strings.HasPrefix(stream, governorStream) {
				s.pub(consumeStream(apiPrefix(n.org), stream)...)
			}
		}
	}
	for _, name := range n.extra {
		if a.mayAdd(name) {
			s.pub(name)
		}
	}
	return s.permissions()
}

// reserved are subjects through which a node could read what others have registered, or
// act as the appliance. A token cannot open them, whatever its pub_subjects say.
var reserved = []string{"$JS.>", "$SYS.>", "choria.streams.>", "muster.>"}

func (a allowance) mayAdd(name string) bool {
	reaches := func(private string) bool { return subject.Overlap(name, private) }
	return subject.Check(name) == nil && !slices.ContainsFunc(reserved, reaches) && !slices.ContainsFunc(a.private, reaches)
}

// defaultOrg is the organization whose JetStream API has no prefix of its own.
const defaultOrg = "choria"

func apiPrefix(org string) string {
	if org == defaultOrg || org == "" {
		return "$JS.API"
	}
	return "choria.streams"
}

// readStream is what it takes to get messages of a stream, and nothing that changes or
// deletes what is in it.
func readStream(api, stream string) []string {
	return []string{
		api + ".STREAM.INFO." + stream,
		api + ".STREAM.MSG.GET." + stream,
		api + ".DIRECT.GET." + stream,
		api + ".DIRECT.GET." + stream + ".>",
	}
}

// consumeStream is what it takes to have consumers of a stream.
func consumeStream(api, stream string) []string {
	return []string{
		api + ".CONSUMER.CREATE." + stream,
		api + ".CONSUMER.CREATE." + stream + ".>",
		api + ".CONSUMER.DURABLE.CREATE." + stream + ".*",
		api + ".CONSUMER.INFO." + stream + ".*",
		api + ".CONSUMER.MSG.NEXT." + stream + ".*",
		"$JS.ACK." + stream + ".>", "$JS.ACK.*.*." + stream + ".>",
		"$JS.FC." + stream + ".>", "$JS.FC.*.*." + stream + ".>",
	}
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
		s.sub(org + ".republish.>")
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
