package broker

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
)

// Why a connection is refused, beside what may be wrong with a token or a certificate.
var (
	// errNoCredentials: neither a certificate under the CA nor a token.
	errNoCredentials = errors.New("no-credentials")
	// errProvisioning: nodes that want an identity; this appliance gives none.
	errProvisioning = errors.New("provisioning")
	// errStopping: the appliance stops.
	errStopping = errors.New("stopping")
	// errNoTLS: a password over a connection that anybody can read.
	errNoTLS = errors.New("no-tls")
	// errWrongPassword: of the system account.
	errWrongPassword = errors.New("wrong-password")
	// errServersDenied: a node, where deny_servers says that there are none.
	errServersDenied = errors.New("servers-denied")
	// errWrongHost: a client that is not on one of client_hosts.
	errWrongHost = errors.New("wrong-host")
	// errHandshake: a TLS handshake that did not come to an end, other than for the certificate.
	errHandshake = errors.New("handshake")
)

// refusalReasons are all that can happen, so that metrics show zeros too.
var refusalReasons = []error{
	errNoCredentials, errProvisioning, errStopping, errNoTLS, errWrongPassword, errServersDenied, errWrongHost, errHandshake,
	choria.ErrUntrusted, choria.ErrExpired, choria.ErrWrongSignature, choria.ErrBadSender,
}

// refusalInterval is how often the log says that connections are refused for one reason.
const refusalInterval = time.Minute

// mostName is how much of a name is logged that nobody has proved to have.
const mostName = 128

// refusals counts the connections that were not let in. A node that is refused comes again
// every few seconds, for ever: the log has one line a minute for each reason.
type refusals struct {
	log   hclog.Logger
	table *rejected.Table
	now   func() time.Time

	mu     sync.Mutex
	counts map[string]uint64
	said   map[string]uint64
	when   map[string]time.Time
}

func newRefusals(log hclog.Logger, table *rejected.Table, now func() time.Time) *refusals {
	r := &refusals{log: log, table: table, now: now, counts: map[string]uint64{}, said: map[string]uint64{}, when: map[string]time.Time{}}
	for _, reason := range refusalReasons {
		r.counts[reason.Error()] = 0
	}
	return r
}

// reason is the one word for an error, as it stands in the metric and the log.
func reason(err error) string {
	for _, known := range refusalReasons {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return choria.ErrUntrusted.Error()
}

// refuse counts one, and says it where the reason has not been said for a while.
func (r *refusals) refuse(err error, address, name string) {
	why := reason(err)
	detail := strings.TrimPrefix(strings.TrimPrefix(err.Error(), why), ": ")
	if errors.Is(err, errProvisioning) {
		detail = "provisioning is not supported: enroll the node, and switch provisioning off in it"
	}
	r.table.Add(rejected.Entry{By: "broker", Name: name, Address: address, Reason: why, Detail: detail}, r.now())
	count, say := r.count(why)
	if !say {
		return
	}
	pairs := []any{"reason", why, "address", address, "name", name[:min(len(name), mostName)], "count", count}
	if detail != "" {
		pairs = append(pairs, "error", detail)
	}
	r.log.Warn("connection refused", pairs...)
}

// count counts one, and tells how many there were since the reason was last said, and
// whether it should be said now.
func (r *refusals) count(why string) (since uint64, say bool) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[why]++
	since = r.counts[why] - r.said[why]
	if now.Sub(r.when[why]) < refusalInterval {
		return since, false
	}
	r.said[why], r.when[why] = r.counts[why], now
	return since, true
}

// snapshot is how many were refused so far, by reason.
func (r *refusals) snapshot() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := make(map[string]uint64, len(r.counts))
	for why, n := range r.counts {
		counts[why] = n
	}
	return counts
}
