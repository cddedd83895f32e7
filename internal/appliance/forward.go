package appliance

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/internal/uplink"
)

// forwardDir is the directory, in that of all data, where the state of forwarding is kept.
const forwardDir = "forward"

// openForwards starts to forward to each hub.
func (a *Appliance) openForwards(ctx context.Context) error {
	for _, cfg := range a.cfg.EnabledForwards() {
		options := forward.Options{
			Site:          a.cfg.Site,
			Identity:      a.cfg.Identity,
			Version:       a.opts.Version,
			Directory:     filepath.Join(a.cfg.DataDir, forwardDir),
			TLS:           a.cfg.Broker.TLS,
			Volatile:      a.cfg.Fleet.Volatile,
			Now:           time.Now,
			Connect:       a.broker.Connect,
			PublishPrefix: a.private.Prefix,
			Adapters:      a.ledgers,
			Disk:          a.disk,
			Log:           a.opts.Log.Named("forward").Named(cfg.Name),
		}
		if a.fleet != nil {
			options.Fleet, options.Sites = a.fleet, a.fleet.SiteHeartbeats
		}
		f := forward.New(*cfg, options)
		if err := f.Open(ctx); err != nil {
			return fmt.Errorf("forward %s: %w", cfg.Name, err)
		}
		a.forwards = append(a.forwards, f)
	}
	return nil
}

// ledgers returns the ledger of each adapter as heartbeats have it.
func (a *Appliance) ledgers() map[string]uplink.Ledger {
	ledgers := map[string]uplink.Ledger{}
	for name, s := range a.Stats() {
		ledgers[name] = uplink.Ledger{
			Received: s.Received, Stored: s.Stored, Duplicate: s.Duplicate, Pending: s.Pending,
			Rejected: occurred(s.Rejected), Dropped: occurred(s.Dropped),
		}
	}
	return ledgers
}

// occurred returns the counts that are not zero.
func occurred(counts map[string]uint64) map[string]uint64 {
	some := map[string]uint64{}
	for reason, n := range counts {
		if n > 0 {
			some[reason] = n
		}
	}
	return some
}

// disk returns the use of the store.
func (a *Appliance) disk() (d uplink.Disk) {
	if space, err := host.SpaceOf(a.cfg.DataDir); err == nil {
		d.Free = int64(space.Free)
	}
	if streams, ok := a.broker.Streams(); ok {
		for _, s := range streams {
			d.Used += int64(s.Bytes)
		}
	}
	return d
}

// Forwards returns the state of forwarding to each hub.
func (a *Appliance) Forwards() []forward.Status {
	all := []forward.Status{}
	for _, f := range a.forwards {
		all = append(all, f.Status())
	}
	return all
}

// disconnected says in words since when there is no connection to a hub, and why.
func disconnected(hub forward.Status) string {
	text := "not connected since " + hub.Since.UTC().Format(time.RFC3339)
	if hub.Error != "" {
		text += ": " + hub.Error
	}
	return text + "; what this appliance stores is forwarded when the hub is reachable again"
}
