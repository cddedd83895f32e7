package broker

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/throttle"
)

// Why a connection is refused. The reasons for a token or certificate that is not accepted
// are in package choria.
var (
	errNoCredentials = errors.New("no-credentials")  // neither a certificate signed by the CA nor a token
	errProvisioning  = errors.New("provisioning")    // a node that requests an identity, or the provisioner; it is off
	errStarting      = errors.New("starting")        // the appliance is not ready yet
	errStopping      = errors.New("stopping")        // the appliance stops
	errNoTLS         = errors.New("no-tls")          // a password over an unencrypted connection
	errWrongPassword = errors.New("wrong-password")  // of the system account or the provisioner
	errServersDenied = errors.New("servers-denied")  // a node, with deny_servers
	errWrongHost     = errors.New("wrong-host")      // a client that is not in client_hosts
	errConnections   = errors.New("max-connections") // there are max_connections already
	errTimeout       = errors.New("timeout")         // it did not authenticate in time
	errHandshake     = errors.New("handshake")       // of TLS or WebSocket, except for the certificate

	errUnknownLeafnode = errors.New("unknown-leafnode") // a leaf node that is not in [broker.leafnodes.peers]
)

// errPerIdentity is the reason for a connection of a node or client that has as many as one may have.
var errPerIdentity = errors.New("max-connections-per-identity")

// Why a node in provisioning is refused, or its connection ended.
var (
	errProvisioningLimit = errors.New("max-provisioning") // there are as many as may be
	errNameInUse         = errors.New("name-in-use")      // a node with that name is connected
)

// errUnauthenticated is the reason for a connection that is closed because more than
// max_unauthenticated have not authenticated.
var errUnauthenticated = errors.New("max-unauthenticated")

// refusalReasons are all reasons, so that the metric shows zeros too.
var refusalReasons = []error{
	errNoCredentials, errProvisioning, errStarting, errStopping, errNoTLS, errWrongPassword, errServersDenied,
	errWrongHost, errHandshake, errConnections, errPerIdentity, errProvisioningLimit, errNameInUse, errTimeout,
	errUnauthenticated, errBacklog, errTotalBacklog, choria.ErrUntrusted, choria.ErrExpired, choria.ErrRevoked,
	choria.ErrWrongSignature, choria.ErrBadSender, choria.ErrLimit, errUnknownLeafnode,
}

// refusalInterval is the minimum time between two log lines of one reason.
const refusalInterval = time.Minute

// maxLoggedName is how many bytes of an unproven name are logged.
const maxLoggedName = 128

// refusals counts refused connections by reason, and logs them. A refused node connects
// again every few seconds, forever: the log has one line a minute for each reason.
type refusals struct {
	log      hclog.Logger
	table    *rejected.Table
	now      func() time.Time
	throttle *throttle.Throttle // by reason

	mu     sync.Mutex
	counts map[string]uint64 // by reason
}

func newRefusals(log hclog.Logger, table *rejected.Table, now func() time.Time) *refusals {
	r := &refusals{
		log: log, table: table, now: now,
		throttle: throttle.New(refusalInterval), counts: map[string]uint64{},
	}
	for _, reason := range refusalReasons {
		r.counts[reason.Error()] = 0
	}
	return r
}

// reasonOf returns the reason of an error in one word, as in the metric and the log.
func reasonOf(err error) string {
	for _, known := range refusalReasons {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return choria.ErrUntrusted.Error()
}

// countRefusal counts a refused connection, adds it to the table, and logs it unless its reason
// was logged within refusalInterval. address is a host; name is what the connection calls itself.
func (r *refusals) countRefusal(err error, address, name string) {
	r.count(err, rejected.Entry{Address: address, Name: name}, false)
}

// countEnded does what countRefusal does, for a connection that was admitted and is ended. name is the
// identity if it is verified.
func (r *refusals) countEnded(err error, address, name string, verified bool) {
	r.count(err, rejected.Entry{Address: address, Name: name, Verified: verified}, true)
}

// count adds the entry to the table with the reason of err, and counts and logs it.
func (r *refusals) count(err error, e rejected.Entry, ended bool) {
	reason := reasonOf(err)
	detail := strings.TrimPrefix(strings.TrimPrefix(err.Error(), reason), ": ")
	key := reason
	if errors.Is(err, errProvisioning) {
		detail = "provisioning is off: enroll the node, or set [broker.provisioning]"
	}
	if ended {
		detail += "; the connection was ended"
		key = "ended " + reason
	}
	now := r.now()
	e.By, e.Reason, e.Detail = "broker", reason, detail
	r.table.Add(e, now)
	r.mu.Lock()
	r.counts[reason]++
	r.mu.Unlock()
	count, log := r.throttle.Add(key, 1, now)
	if !log {
		return
	}
	name := e.Name[:min(len(e.Name), maxLoggedName)]
	pairs := []any{"reason", reason, "address", e.Address, "name", name, "count", count}
	if detail != "" {
		pairs = append(pairs, "error", detail)
	}
	if ended {
		r.log.Warn("connection ended", pairs...)
		return
	}
	r.log.Warn("connection refused", pairs...)
}

// snapshot returns how many connections were refused so far, by reason.
func (r *refusals) snapshot() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}
