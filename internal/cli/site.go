package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/uplink"
)

// siteDetails returns the rows of a table that describes a site.
func siteDetails(s fleet.SiteStatus) (rows [][]string) {
	row := func(name, format string, values ...any) {
		rows = append(rows, []string{name, fmt.Sprintf(format, values...)})
	}
	if s.State == fleet.SiteWaiting {
		row("state", "%s: %s", s.State, s.Reason)
	} else {
		row("state", "%s since %s: %s", s.State, ago(s.Since), s.Reason)
	}
	row("nodes", "%s", nodesText(nodesOf(s), s.Nodes))
	if s.Home {
		return rows
	}
	row("last heard of", "%s", agoAndTimestamp(s.AsOf))
	row("edge", "%s", edgeText(s))
	if s.State == fleet.SiteWaiting {
		return rows
	}
	return append(rows, heartbeatRows(s)...)
}

// nodesText says how many nodes there are in each state, and how many are in provisioning, if any.
func nodesText(all int, byState map[fleet.State]int) string {
	var states []string
	for _, state := range fleet.States {
		if state != fleet.Provisioning {
			states = append(states, count(uint64(byState[state]))+" "+string(state))
		}
	}
	text := fmt.Sprintf("%s: %s", count(uint64(all)), strings.Join(states, ", "))
	if n := byState[fleet.Provisioning]; n > 0 {
		text += fmt.Sprintf("; and %s in provisioning", count(uint64(n)))
	}
	return text
}

// heartbeatRows returns the rows of a table with what the last heartbeat of a site had.
func heartbeatRows(s fleet.SiteStatus) (rows [][]string) {
	row := func(name, format string, values ...any) {
		rows = append(rows, []string{name, fmt.Sprintf(format, values...)})
	}
	row("version", "%s, incarnation %s of its streams", s.Version, s.Incarnation)
	row("clock", "%s", clockText(s.ClockSeconds))
	row("lag", "%s", siteLag(s))
	for _, name := range slices.Sorted(maps.Keys(s.Streams)) {
		rows = append(rows, forwardRows("stream "+name, s.Streams[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Adapters)) {
		row("adapter "+name, "%s", adapterLedger(s.Adapters[name]))
	}
	if s.Disk.Free > 0 {
		used, free := humanize.IBytes(uint64(s.Disk.Used)), humanize.IBytes(uint64(s.Disk.Free))
		row("disk", "%s used by its streams, %s free", used, free)
	}
	row("corrections", "%s nodes, by snapshots, since this appliance started", count(s.Corrections))
	return rows
}

// edgeText says which edge forwards for a site, and whether it is connected.
func edgeText(s fleet.SiteStatus) string {
	switch {
	case s.Via != "":
		return "forwards to site " + s.Via + ", which forwards to this appliance"
	case s.Connected:
		return s.Edge + ", connected from " + s.Address
	default:
		return s.Edge + ", not connected"
	}
}

// clockText says how far the clock of an edge differs from that of its hub.
func clockText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d > 0:
		return d.String() + " ahead"
	case d < 0:
		return (-d).String() + " behind"
	default:
		return "within a second"
	}
}

// adapterLedger returns the ledger of an adapter of an edge.
func adapterLedger(l uplink.Ledger) string {
	sum := func(byReason map[string]uint64) (n uint64) {
		for _, messages := range byReason {
			n += messages
		}
		return n
	}
	return fmt.Sprintf("%s received, %s stored, %s duplicate, %s rejected, %s dropped, %s pending",
		count(l.Received), count(l.Stored), count(l.Duplicate), count(sum(l.Rejected)), count(sum(l.Dropped)),
		count(l.Pending))
}
