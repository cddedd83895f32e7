package appliance

import (
	"context"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/governor"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/rejected"
)

// governorIntake is the name of the broker.Intake of requests to enter governors.
const governorIntake = "governor"

// openGovernors lets nodes enter governors.
func (a *Appliance) openGovernors(ctx context.Context) error {
	o := governor.Options{
		Prefix:  contract.WritePrefix(a.privateToken),
		Account: broker.Account,
		Server:  a.broker.ServerID(),
		Dial: func(receiver inproc.Receiver) (*inproc.Conn, error) {
			return a.broker.DialIntake(governorIntake, "governors", []string{contract.SubjectsGovernor}, receiver)
		},
		Connect: a.broker.Connect,
		Request: a.private.Request,
		IsOpen:  a.broker.IsOpen,
		IsNode:  a.isNode,
		IsDown:  a.isDown,
		Now:     time.Now,
		Log:     a.opts.Log.Named("governor"),
	}
	if a.fleet != nil {
		o.Release = a.cfg.Broker.GovernorRelease
	}
	a.governors = governor.New(o)
	return a.governors.Open(ctx)
}

// isNode reports whether a connection is that of a node, or of one that has ended and may have been one. In a lab
// every connection is an administrator's.
func (a *Appliance) isNode(connection uint64) bool {
	role := a.broker.RoleOf(connection)
	return a.cfg.Broker.VerifiesIdentities() && (role == broker.RoleNode || role == broker.RoleNone)
}

// isAdmin reports whether a connection is that of an administrator or of the appliance. In a lab all are.
func (a *Appliance) isAdmin(connection uint64) bool {
	role := a.broker.RoleOf(connection)
	return role == broker.RoleAdmin || role == broker.RoleInternal || !a.cfg.Broker.VerifiesIdentities()
}

// isDown reports whether the fleet view has shown a node as down for so long.
func (a *Appliance) isDown(node string, atLeast time.Duration) bool {
	status, known := a.fleet.Node(fleet.NodeID{Site: a.cfg.Site, Name: node})
	return known && status.State == fleet.Down && time.Since(status.Since) >= atLeast
}

// refusePermission counts a request to JetStream's API that a node may not make.
func (a *Appliance) refusePermission(from inproc.Peer, subject string) {
	a.broker.RefusePermission(from.ID, rejected.Publish, subject)
}
