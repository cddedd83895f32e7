package broker

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/throttle"
)

// permissionRefusals counts the publishes and subscriptions that are refused for lack of permission, lists
// them by identity and subject, and logs one line a minute for each permission that would allow them. A node
// may cause a hundred thousand a second, so nothing is formatted for each.
type permissionRefusals struct {
	auth     *authenticator
	log      hclog.Logger
	now      func() time.Time
	table    *rejected.Permissions
	throttle *throttle.Throttle // by what would allow it

	publishes, subscriptions, replies atomic.Uint64
}

func newPermissionRefusals(auth *authenticator, log hclog.Logger, now func() time.Time) *permissionRefusals {
	return &permissionRefusals{
		auth: auth, log: log, now: now,
		table: rejected.NewPermissions(), throttle: throttle.New(refusalInterval),
	}
}

// record counts a refused publish or subscription.
func (r *permissionRefusals) record(v violation) {
	r.counter(v.kind).Add(1)
	now := r.now()
	p := rejected.Permission{
		Role: r.auth.connectionRoles.get(v.id).String(), Kind: v.kind, Subject: generalize(v.kind, asAPI(v.subject)),
	}
	p.Identity, p.Address = r.auth.admitted.peer(v.id)
	if p.Address == "" {
		p.Address = hostOf(v.address)
	}
	p.AllowedBy = r.table.Add(p, now, r.auth.permissions.advice)
	if count, log := r.throttle.Add(p.AllowedBy, 1, now); log {
		r.log.Warn("permission refused", "kind", p.Kind, "subject", p.Subject, "identity", p.Identity,
			"address", p.Address, "count", count, "hint", p.AllowedBy)
	}
}

func (r *permissionRefusals) counter(kind string) *atomic.Uint64 {
	switch kind {
	case rejected.Publish:
		return &r.publishes
	case rejected.Reply:
		return &r.replies
	default:
		return &r.subscriptions
	}
}

// RefusePermission counts a publish or subscription that the appliance itself has refused to the connection
// with that id, for lack of permission. The kind is one of those of package rejected.
func (b *Broker) RefusePermission(id uint64, kind, subject string) {
	b.permissionRefusals.record(violation{id: id, kind: kind, subject: subject})
}

// RefusedPermissions returns the publishes and subscriptions that were refused for lack of permission, by
// identity, and how many are not listed any more.
func (b *Broker) RefusedPermissions() (entries []rejected.Permission, discarded uint64) {
	return b.permissionRefusals.table.Entries()
}
