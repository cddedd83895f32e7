package cli

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/muster-appliance/muster/internal/uplink"
)

// maxClock is how many seconds the clock of a site may differ from that of its hub without a warning.
const maxClock = 60

// checkForward judges the sites that forward to the appliance, and, at an edge, its hubs and how far its streams are
// forwarded to them.
func (c *healthCommand) checkForward(ctx context.Context, client *apiclient.Client) error {
	sites, err := allSites(ctx, client)
	if err != nil {
		return err
	}
	hubs, err := hubs(ctx, client)
	if err != nil || len(hubs) == 0 && len(sites) <= 1 {
		return err
	}
	var worst lag
	if len(sites) > 1 {
		c.checkSites(sites, &worst)
	}
	if len(hubs) > 0 {
		c.checkConnected(hubs, time.Now())
		c.checkStreams(hubs, &worst)
	}
	worst.evaluate(c)
	return nil
}

// checkSites judges how many sites are down, and the clocks and streams of the others.
func (c *healthCommand) checkSites(sites []fleet.SiteStatus, worst *lag) {
	for _, s := range sites {
		if s.State != fleet.SiteUp {
			continue // what is known of it is old
		}
		for _, name := range slices.Sorted(maps.Keys(s.Streams)) {
			worst.add(s.Site+" "+name, s.Streams[name])
		}
		if math.Abs(s.ClockSeconds) >= maxClock {
			c.result.AddStatus("clock", fmt.Sprintf("the clock of site %s is %s", s.Site, clockText(s.ClockSeconds)),
				monitoring.Warning)
		}
	}
	counts := countSites(sites)
	down := float64(len(counts.Down))
	c.result.Evaluate("sites", "sites "+counts.String(), down, float64(counts.All), c.thresholds["sites"])
}

// checkStreams reports streams that are stalled, or whose ledger is not balanced.
func (c *healthCommand) checkStreams(hubs []forward.Status, worst *lag) {
	for _, hub := range hubs {
		for _, name := range slices.Sorted(maps.Keys(hub.Streams)) {
			s, what := hub.Streams[name], hub.Hub+" "+name
			if s.Stalled != "" && hub.Connected { // without a connection every stream is stalled
				c.result.AddStatus("stalled", fmt.Sprintf("%s is stalled: %s", what, quoteUnsafe(s.Stalled)), monitoring.Warning)
			}
			if !s.Balanced() {
				c.result.AddStatus("ledger", "the ledger of "+what+" is not balanced", monitoring.Warning)
			}
			worst.add(what, s)
		}
	}
}

// checkConnected judges the hubs by the time for which the appliance has not been connected to them.
func (c *healthCommand) checkConnected(hubs []forward.Status, now time.Time) {
	longest, texts := 0.0, []string{}
	for _, hub := range hubs {
		if hub.Connected {
			texts = append(texts, "hub "+hub.Hub+" connected")
			continue
		}
		texts = append(texts, "hub "+hub.Hub+" "+hubText(hub))
		longest = max(longest, now.Sub(hub.Since).Truncate(time.Second).Seconds())
	}
	c.result.Evaluate("disconnected", strings.Join(texts, ", "), longest, 0, c.thresholds["disconnected"])
}

// lag is the stream whose oldest message without an outcome is the oldest of all.
type lag struct {
	seconds float64
	text    string // the stream and its lag in words; empty: there is none
}

// add takes a stream into account, unless the configuration pauses it.
func (l *lag) add(what string, s uplink.Stream) {
	if !s.Paused && s.OldestSeconds > l.seconds {
		l.seconds, l.text = s.OldestSeconds, fmt.Sprintf("%s: %s", what, lagText(s))
	}
}

func (l *lag) evaluate(c *healthCommand) {
	text := "no lag"
	if l.text != "" {
		text = "lag of " + l.text
	}
	c.result.Evaluate("lag", text, l.seconds, 0, c.thresholds["lag"])
}
