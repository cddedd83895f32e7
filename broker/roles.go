package broker

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
)

// Roles is the [broker.roles] table: patterns of the names in certificates. A certificate
// that matches neither Admin, Reader nor Client is a node's.
type Roles struct {
	Admin        []string
	Client       []string
	Compatible   []string            // nodes and clients that may do what they do on Choria's broker
	Reader       map[string][]string // names of streams, by the pattern of those that may read them
	Streams      []string            // nodes that may read key-value buckets and governors
	StreamsAdmin []string            // clients that may make, change and delete streams, buckets and governors
	Governor     []string
	Submission   []string // nodes and clients that may wait for the ack of what they submit
	ServiceHost  []string
}

// Keys lists the keys of [broker.roles].
func (r *Roles) Keys() []config.Key {
	return []config.Key{
		{Name: "admin", Value: config.Strings(&r.Admin), Help: "certificates that may do everything; * matches any text"},
		{Name: "client", Value: config.Strings(&r.Client),
			Help: "certificates of clients; those that match neither admin, reader nor client belong to nodes"},
		{Name: "compatible", Value: config.Strings(&r.Compatible),
			Help: "nodes and clients that may do what they do on Choria's broker; see docs/security.md"},
		{Name: "reader", Value: config.ParsedPairs(&r.Reader, parseStreams, formatStreams),
			Help: "programs that only read streams: the names of the streams, with commas between them, by pattern"},
		{Name: "streams", Value: config.Strings(&r.Streams), Help: "nodes that may read key-value buckets and governors"},
		{Name: "streams_admin", Value: config.Strings(&r.StreamsAdmin),
			Help: "clients that may make, change and delete streams, buckets and governors"},
		{Name: "governor", Value: config.Strings(&r.Governor),
			Help: "nodes and clients that may enter governors; nodes also need the role streams"},
		{Name: "submission", Value: config.Strings(&r.Submission),
			Help: "nodes and clients that may wait for the ack of what they submit (reliable submission); " +
				"every node may submit without"},
		{Name: "service_host", Value: config.Strings(&r.ServiceHost), Help: "nodes that host service agents"},
	}
}

// parseStreams returns the names of streams in a text with commas between them.
func parseStreams(text string) ([]string, error) {
	names := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return !contract.ValidName(name) }) {
		return nil, errors.New(`expected names of streams, such as "CHORIA_REGISTRATION, CHORIA_MACHINE"`)
	}
	return names, nil
}

func formatStreams(names []string) string { return strings.Join(names, ", ") }

// readerStreams returns the streams that a certificate with the role reader may read; nil: it does not have the role.
func (r *Roles) readerStreams(name string) (streams []string) {
	for _, pattern := range slices.Sorted(maps.Keys(r.Reader)) {
		if matches([]string{pattern}, name) {
			streams = append(streams, r.Reader[pattern]...)
		}
	}
	return streams
}

// named returns the names of the roles of clients and administrators that a certificate with this name has.
func (r *Roles) named(name string) (roles []string) {
	if matches(r.Admin, name) {
		roles = append(roles, "admin")
	}
	if r.readerStreams(name) != nil {
		roles = append(roles, "reader")
	}
	if matches(r.Client, name) {
		roles = append(roles, "client")
	}
	return roles
}

// OfClient reports whether a certificate with this name is that of a client or an administrator, not of a node.
func (r *Roles) OfClient(name string) bool {
	return len(r.named(name)) > 0
}

// Validate checks the patterns.
func (r *Roles) Validate(check *config.Check) {
	for key, patterns := range map[string][]string{
		"admin": r.Admin, "client": r.Client, "compatible": r.Compatible, "reader": slices.Collect(maps.Keys(r.Reader)),
		"streams": r.Streams, "streams_admin": r.StreamsAdmin, "governor": r.Governor, "submission": r.Submission,
		"service_host": r.ServiceHost,
	} {
		for _, pattern := range patterns {
			if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
				check.Problem(key, `%q is not a valid pattern; * matches any text, ? one character, [a-z] one of several`,
					pattern)
			}
		}
	}
}

// matches reports whether the name matches one of the patterns.
func matches(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}
