package appliance

import (
	"context"
	"strings"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/integrity"
)

func (a *Appliance) openFleet(ctx context.Context) error {
	if !a.cfg.Fleet.Enabled {
		return nil
	}
	for _, cfg := range a.cfg.EnabledAdapters() {
		if len(cfg.Stream.Servers) > 0 {
			a.opts.Log.Named("fleet").Warn(
				"the fleet view does not see the nodes of an adapter that publishes to another NATS server", "adapter", cfg.Name)
		}
	}
	a.fleet = fleet.New(a.cfg.Fleet, fleet.Options{
		Site:          a.cfg.Site,
		Memory:        machineMemory(),
		StoreEvents:   a.cfg.keepsEvents(),
		Now:           time.Now,
		Clock:         a.clock.read,
		Connect:       a.broker.Connect,
		ConnectSystem: a.broker.ConnectSystem,
		Identities:    a.cfg.Broker.VerifiesIdentities(),
		ConflictAfter: conflictPings * a.cfg.Broker.PingInterval,
		KindOf:        func(id uint64) fleet.Kind { return kindOf(a.broker.RoleOf(id)) },
		LastRejected:  a.lastRejected,
		DialShutdowns: a.dialShutdowns,
		Connections:   a.listConnections,
		SiteEdges:     a.broker.Sites,
		PublishPrefix: a.private.Prefix,
		Log:           a.opts.Log.Named("fleet"),
	})
	if err := a.fleet.Open(ctx); err != nil {
		return err
	}
	a.recorder.announceTo(func(f *integrity.Finding) {
		a.fleet.ReportLost(f.Stream, f.Messages, f.String(), f.Noticed)
	})
	return nil
}

// conflictPings is how many ping intervals two connections of a node must be open until they are taken for
// those of two nodes. The broker ends a dead connection within four.
const conflictPings = 8

// notePublisher tells the fleet view which connection a message of a node came over.
func (a *Appliance) notePublisher(node string, connection uint64) {
	if a.fleet != nil {
		a.fleet.NotePublisher(node, connection)
	}
}

// dialShutdowns connects the fleet view to receive shutdown events.
func (a *Appliance) dialShutdowns(receiver inproc.Receiver) (*inproc.Conn, error) {
	return a.broker.DialIntake(fleetIntake, "fleet", []string{contract.SubjectShutdown}, receiver)
}

// lastRejected returns the last message that an adapter rejected of those that came over connections of
// a name. What only claims to be of it does not count, except in a lab.
func (a *Appliance) lastRejected(name string) (r fleet.Rejection, ok bool) {
	e, ok := a.rejected.LastMessage(name)
	ok = ok && (e.Verified || !a.cfg.Broker.VerifiesIdentities())
	detail := strings.TrimPrefix(e.Detail, e.Reason+": ")
	return fleet.Rejection{Reason: e.Reason, Detail: detail, At: e.Last}, ok
}

// kindOf returns what a role is to the fleet view.
func kindOf(role broker.Role) fleet.Kind {
	switch role {
	case broker.RoleNode:
		return fleet.KindNode
	case broker.RoleProvisioning:
		return fleet.KindProvisioning
	case broker.RoleProvisioner:
		return fleet.KindProvisioner
	default:
		return fleet.KindOther
	}
}

// listConnections passes the broker's connections on to the fleet: components do not import each
// other.
func (a *Appliance) listConnections() ([]fleet.Conn, error) {
	listed, err := a.broker.ListConnections()
	connections := make([]fleet.Conn, len(listed))
	for i, c := range listed {
		connections[i] = fleet.Conn{
			Server: c.Server, ID: c.ID, User: c.User, Name: c.Name, Address: c.Address, Kind: kindOf(c.Role),
			Began: c.Began, Ended: c.Ended, Reason: c.Reason,
		}
	}
	return connections, err
}
