package broker

import (
	"fmt"
	"slices"
	"time"
)

// The connections whose roles or sites changed are ended one after the other: one in endStep, or
// faster if that would take longer than endWithin.
const (
	endStep   = 10 * time.Millisecond
	endWithin = time.Minute
)

// access returns a text that differs for roles under which the certificate with that name may do other things.
func (r *Roles) access(name string) string {
	switch streams := r.readerStreams(name); {
	case matches(r.Admin, name):
		return "admin"
	case streams != nil:
		return fmt.Sprint("reader ", streams)
	}
	return fmt.Sprint(
		matches(r.Client, name), matches(r.Compatible, name), matches(r.Streams, name), matches(r.StreamsAdmin, name),
		matches(r.Governor, name), matches(r.Submission, name), matches(r.ServiceHost, name),
	)
}

// changeRoles puts other roles in force. NATS keeps the permissions of a connection as they are, so it ends those
// of certificates that now have other permissions: they connect again.
func (b *Broker) changeRoles(roles Roles) {
	old := b.auth.roles.Swap(&roles)
	changed := b.auth.admitted.byCertificate(func(name string) bool { return old.access(name) != roles.access(name) })
	if len(changed) == 0 || b.srv == nil {
		return
	}
	b.opts.Log.Info("connections of certificates with other roles are ended; they connect again", "count", len(changed))
	b.wg.Go(func() { b.endStepwise(changed) })
}

// changeSites puts other sites in force. It ends the connections of the edges that now forward for other sites, and
// those of names that have become an edge or are none any more: they connect again.
func (b *Broker) changeSites(sites Sites) error {
	old := b.auth.edges.Load().sites
	if err := b.applySites(sites); err != nil {
		return err
	}
	changed := b.auth.admitted.byEdgeName(func(name string) bool { return !slices.Equal(old.of(name), sites.of(name)) })
	if len(changed) > 0 {
		b.opts.Log.Info("connections of edges with other sites are ended; they connect again", "count", len(changed))
		b.wg.Go(func() { b.endStepwise(changed) })
	}
	return nil
}

// endStepwise ends connections, one after the other.
func (b *Broker) endStepwise(ids []uint64) {
	step := time.NewTicker(min(endStep, endWithin/time.Duration(len(ids))))
	defer step.Stop()
	for _, id := range ids {
		_ = b.srv.DisconnectClientByID(id) // an error means that it has already closed
		select {
		case <-step.C:
		case <-b.quit:
			return
		}
	}
}
