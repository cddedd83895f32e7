package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/muster-appliance/muster/internal/uplink"
)

// checkHubs judges, at an edge, the connections to its hubs and how far its streams are forwarded.
func (c *healthCommand) checkHubs(ctx context.Context, client *apiclient.Client) error {
	hubs, err := hubs(ctx, client)
	if err != nil || len(hubs) == 0 {
		return err
	}
	c.checkConnected(hubs, time.Now())
	var worst lag
	for _, hub := range hubs {
		for _, name := range slices.Sorted(maps.Keys(hub.Streams)) {
			s, what := hub.Streams[name], hub.Hub+" "+name
			if s.Stalled != "" && hub.Connected { // a stream without a connection is always stalled
				c.result.AddStatus("stalled", fmt.Sprintf("%s is stalled: %s", what, quoteUnsafe(s.Stalled)), monitoring.Warning)
			}
			if !s.Balanced() {
				c.result.AddStatus("ledger", "the ledger of "+what+" is not balanced", monitoring.Warning)
			}
			worst.add(what, s)
		}
	}
	worst.evaluate(c)
	return nil
}

// checkConnected judges the hubs by the time for which the appliance has not been connected to them.
func (c *healthCommand) checkConnected(hubs []console.ForwardStatus, now time.Time) {
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
