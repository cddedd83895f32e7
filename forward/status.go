package forward

import (
	"context"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/dial"
	"github.com/muster-appliance/muster/internal/uplink"
)

// Status is the state of a Forwarder.
type Status struct {
	Hub       string    `json:"hub"`  // name in the configuration
	Site      string    `json:"site"` // of the hub; empty: it has not told yet
	Servers   []string  `json:"servers"`
	Proxy     string    `json:"proxy,omitempty"` // URL without user and password; empty: connections are direct
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`              // when the connection began, or ended
	Error     string    `json:"error,omitempty"`    // why it is not connected, or what the hub refused last
	Paused    bool      `json:"paused,omitempty"`   // data is not forwarded, by the configuration
	Heartbeat time.Time `json:"heartbeat,omitzero"` // when the hub answered the last one
	Snapshots uint64    `json:"snapshots"`          // that the hub asked for

	Unrecorded uint64                   `json:"rejects_unrecorded"` // rejected messages that are not in MUSTER_REJECTED
	Streams    map[string]uplink.Stream `json:"streams"`            // by name
}

// Status returns the state at this moment.
func (f *Forwarder) Status() Status {
	now := f.opts.Now()
	s := Status{
		Hub: f.cfg.Name, Site: f.hubSite(), Servers: f.cfg.Servers, Paused: f.paused(now),
		Snapshots: f.beat.snapshots.Load(), Unrecorded: f.rejects.unrecorded.Load(), Streams: map[string]uplink.Stream{},
	}
	if proxy, err := f.cfg.proxyURL(); err == nil && proxy != nil {
		s.Proxy = dial.ShowProxy(proxy)
	}
	s.Connected, s.Since, s.Error = f.data.status()
	if up, since, lastErr := f.events.status(); s.Connected && !up {
		s.Connected, s.Since, s.Error = up, since, lastErr
	}
	if last := f.beat.last.Load(); last > 0 {
		s.Heartbeat = time.Unix(0, last).UTC()
	}
	for _, c := range f.copiers {
		c.refresh(f.ctx)
		s.Streams[c.cfg.Name] = c.status(now)
	}
	return s
}

// refresh reads the last sequence of the stream. An error leaves it as it was.
func (c *copier) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, linkCheck)
	defer cancel()
	s, err := c.f.js.Stream(ctx, c.cfg.Name)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger.stats.Last = s.CachedInfo().State.LastSeq
}

// incarnation returns the incarnation of the stream.
func (c *copier) incarnation() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.opened {
		return ""
	}
	return c.lineage.incarnation()
}

// status returns the ledger and the progress.
func (c *copier) status(now time.Time) uplink.Stream {
	up, _, lastErr := c.link.status()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.ledger.stats
	s.Mode, s.Position = c.cfg.Mode, c.done
	s.Last = max(s.Last, c.lastRead)
	s.Unread = s.Last - c.lastRead
	s.Paused = c.isData && c.f.paused(now)
	s.BytesPerSecond = c.sent.perSecond(now)
	if len(c.order) > 0 {
		s.OldestSeconds = max(now.Sub(c.order[0].stored).Seconds(), 0)
	}
	switch {
	case s.Pending+s.Unread == 0 || s.Paused:
	case !up:
		s.Stalled = strings.TrimSuffix("not connected to the hub: "+lastErr, ": ")
	default:
		s.Stalled = c.problem
	}
	return s
}

// noteReadError logs that the stream cannot be read, at most once a minute.
func (c *copier) noteReadError(err error) {
	if count, log := c.reads.Add("", 1, c.f.opts.Now()); log {
		c.f.opts.Log.Warn("stream not read for the hub; it is tried again", "stream", c.cfg.Name, "error", err,
			"count", count)
	}
}
