// Package contract names what readers of Muster's streams rely on: headers, subjects, the
// default streams, and the reasons why a message was rejected or dropped. It holds names and
// one pattern for names, and imports nothing of Muster.
package contract

import (
	"regexp"
	"strings"
)

// Default streams.
const (
	StreamRegistration = "CHORIA_REGISTRATION"            // what the adapter "registration" stores
	StreamAdvisories   = "CHORIA_REGISTRATION_ADVISORIES" // written only with fleet.advisories
	StreamRejected     = "MUSTER_REJECTED"                // messages that an adapter rejected
	StreamFleet        = "MUSTER_FLEET"                   // events of the fleet view
	StreamAudit        = "MUSTER_AUDIT"                   // what administrators did
)

// Subjects that the appliance publishes to.
const (
	// SubjectNodeMetadata is followed by the sender: the default of stream.topic.
	SubjectNodeMetadata = "choria.node_metadata."
	// SubjectRejected is followed by the adapter and the reason.
	SubjectRejected = "muster.rejected."
	// SubjectFleet begins the subjects of all events of the fleet view.
	SubjectFleet = "muster.fleet."
	// SubjectFleetNode is followed by the event and the node.
	SubjectFleetNode = SubjectFleet + "node."
	// SubjectFleetSite is followed by the event and the site.
	SubjectFleetSite = SubjectFleet + "site."
	// SubjectAudit is followed by the action.
	SubjectAudit = "muster.audit."
	// SubjectAdvisories is where the Stream Replicator publishes its advisories too.
	SubjectAdvisories = "choria.stream.input.registration_advisories"
)

// Actions in StreamAudit.
const (
	ActionConnect       = "connect" // a connection was admitted with administrator's rights
	ActionCreateStream  = "stream-create"
	ActionUpdateStream  = "stream-update"
	ActionDeleteStream  = "stream-delete"
	ActionPurgeStream   = "stream-purge"
	ActionBackUpStream  = "stream-backup"
	ActionRestoreStream = "stream-restore"
	ActionDeleteMessage = "message-delete"
	ActionAcceptLoss    = "accept-loss"
)

// AuditSeveral is the identity in a record of more identities than are told apart. No connection can prove it.
const AuditSeveral = "*"

// SubjectAcceptLoss is followed by a stream: a request there accepts its losses. Only
// administrators may publish below SubjectAdmin.
const (
	SubjectAdmin      = "muster.admin."
	SubjectAcceptLoss = SubjectAdmin + "accept-loss."
)

// Subjects of private streams: those that only the appliance writes to. See internal/privatestream.
const (
	// SubjectWrite is followed by the write token and a public subject: private streams listen there.
	SubjectWrite = "muster.write."
	// SubjectAPI is where the appliance receives requests to JetStream's API, in the system account. It is
	// followed by what the API has after "$JS.API.".
	SubjectAPI = "muster.api."
	// SubjectChecked is where the appliance receives, in place of "$JS.API.", the requests of nodes and
	// clients that it allows or refuses by the role of the connection, see CheckedRequests.
	SubjectChecked = "$MUSTER.API."
	// SubjectRawAPI is where the appliance sends them to JetStream, in the system account.
	SubjectRawAPI = "muster.raw."
)

// CheckedRequests are the requests to JetStream's API, after "$JS.API.", that arrive at SubjectChecked.
func CheckedRequests() []string {
	return []string{"STREAM.INFO.*", "STREAM.MSG.GET.*", "STREAM.MSG.DELETE.*", "CONSUMER.CREATE.>", "CONSUMER.DELETE.*.*"}
}

// WritePrefix returns what precedes a public subject in a subject to which a private stream listens.
func WritePrefix(token string) string { return SubjectWrite + token + "." }

// Subjects of what edges send to their hub.
const (
	// SubjectSites is followed by a site and a subject: what the edge of that site has on the subject, at its hub.
	SubjectSites = "choria.sites."
	// SubjectHeartbeat and SubjectSnapshot follow SubjectSites and the site: requests of an edge to the fleet view
	// of its hub. See internal/uplink.
	SubjectHeartbeat = "heartbeat"
	SubjectSnapshot  = "snapshot"
)

// SiteSubject returns the subject at a hub of what a site has on a subject.
func SiteSubject(site, subject string) string { return SubjectSites + site + "." + subject }

// CutSite splits a subject at a hub into the site, and the subject there; ok is false for any other subject.
func CutSite(subject string) (site, rest string, ok bool) {
	rest, ok = strings.CutPrefix(subject, SubjectSites)
	if ok {
		site, rest, ok = strings.Cut(rest, ".")
	}
	if !ok {
		return "", subject, false
	}
	return site, rest, true
}

// Names that NATS and Choria define.
const (
	// SubjectAPIAdvisory is where JetStream publishes every request to its API, with the answer.
	SubjectAPIAdvisory = "$JS.EVENT.ADVISORY.API"
	// SubjectsAdvisory matches all other advisories of JetStream.
	SubjectsAdvisory = "$JS.EVENT.ADVISORY.*.>"
	// PrefixAPI begins the subjects of JetStream's API.
	PrefixAPI = "$JS.API."
	// PrefixBucketStream begins the name of the stream behind a key-value bucket. See
	// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md.
	PrefixBucketStream = "KV_"
	// PrefixGovernorStream begins the name of the stream behind a governor. See
	// https://choria.io/docs/streams/governor/.
	PrefixGovernorStream = "GOVERNOR_"
	// SubjectsGovernor matches the subjects on which a governor is entered: <collective>.governor.<name>.
	SubjectsGovernor = "*.governor.*"
	// SubjectShutdown is where a Choria component publishes its shutdown event; the last token
	// of the subject is the component.
	SubjectShutdown = "choria.lifecycle.event.shutdown.*"
)

// Headers on messages that an adapter stores. Times are RFC 3339 with nanoseconds, in UTC.
const (
	// HeaderMsgID is adapter/sender/request id. The stream stores each id once within its
	// duplicate window.
	HeaderMsgID    = "Nats-Msg-Id"
	HeaderSender   = "Muster-Sender"
	HeaderTime     = "Muster-Time"     // the sender's clock
	HeaderNewest   = "Muster-Newest"   // the newest time that the sender has signed before; only if it is after HeaderTime
	HeaderReceived = "Muster-Received" // the appliance's clock when the message was received
	HeaderSkew     = "Muster-Skew"     // how far the two differ; only beyond clock_skew
	HeaderVerified = "Muster-Verified" // how the sender was verified, or why it was not
	HeaderSite     = "Muster-Site"     // the site that collected the message
)

// Headers that an appliance adds when it forwards a message to a hub. Other headers stay as they are, except those
// that begin with PrefixNATSHeader: NATS acts on them, and a node may have written them.
const (
	// HeaderVia has the sites that the message was forwarded from, with commas between them, the first one first.
	HeaderVia = "Muster-Via"
	// HeaderSource has where the message was read: stream, sequence, site, incarnation of the forwarder, and when
	// it was stored there in Unix milliseconds, with blanks between them. The Stream Replicator writes this header
	// too, with the name of its worker in place of the incarnation.
	HeaderSource     = "Choria-SR-Source"
	PrefixNATSHeader = "Nats-"
)

// Headers that the format "plain" adds.
const (
	HeaderRequestID  = "Muster-Request-Id"
	HeaderCollective = "Muster-Collective"
	HeaderContent    = "Muster-Content" // inventory, file or body
	HeaderFile       = "Muster-File"    // path of the file on the node
	HeaderMtime      = "Muster-Mtime"   // modification time of the file
)

// Headers on an entry of a governor.
const (
	HeaderIdentity   = "Muster-Identity"   // that the connection has proven which made the entry
	HeaderConnection = "Muster-Connection" // id of the server process, "/", and its number of the connection
)

// Headers on a message in StreamRejected, beside HeaderReceived and HeaderSite.
const (
	HeaderReason  = "Muster-Reason"
	HeaderDetail  = "Muster-Detail"  // at most 512 bytes
	HeaderSubject = "Muster-Subject" // where the message was published
	HeaderSize    = "Muster-Size"    // bytes; the stored copy ends at 64 KiB
)

// GovernorSubjects returns what matches the subjects on which the governor behind a stream is entered, or "" if
// it is not the stream of a governor.
func GovernorSubjects(stream string) string {
	name, found := strings.CutPrefix(stream, PrefixGovernorStream)
	if !found || name == "" {
		return ""
	}
	return strings.TrimSuffix(SubjectsGovernor, "*") + name
}

// GovernorStream returns the stream of the governor that is entered on a subject which SubjectsGovernor matches.
func GovernorStream(subject string) string {
	return PrefixGovernorStream + subject[strings.LastIndexByte(subject, '.')+1:]
}

// validName is one token of a subject.
var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidName reports whether a name has 1 to 64 characters of A-Z, a-z, 0-9, _ and -. The names
// of adapters, streams, buckets and JetStream domains must, because they become tokens of
// subjects. The collective that a node is enrolled for must too; the broker also accepts other
// names of collectives.
func ValidName(name string) bool { return validName.MatchString(name) }
