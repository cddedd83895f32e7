package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/uplink"
)

// hubs returns the hubs that an appliance forwards to; none for an appliance of a version without edges.
func hubs(ctx context.Context, client *apiclient.Client) ([]forward.Status, error) {
	answer, err := client.Forward(ctx)
	if apiclient.HasCode(err, console.CodeNotFound) || apiclient.HasCode(err, console.CodeFleetDisabled) {
		err = nil
	}
	return append([]forward.Status{}, answer.Hubs...), err
}

// hubRows returns the rows of a table that describe a hub, and how far each stream is forwarded to it.
func hubRows(hub forward.Status) [][]string {
	rows := [][]string{{"hub " + hub.Hub, hubText(hub)}}
	for _, name := range slices.Sorted(maps.Keys(hub.Streams)) {
		rows = append(rows, forwardRows("  "+name, hub.Streams[name])...)
	}
	return rows
}

// forwardRows returns the rows of a table that describe how far a stream is forwarded.
func forwardRows(label string, s uplink.Stream) (rows [][]string) {
	for _, text := range streamTexts(s) {
		rows = append(rows, []string{label, text})
		label = ""
	}
	return rows
}

// hubText says in words whether a hub is connected.
func hubText(hub forward.Status) string {
	text, label := "connected", ", last error: "
	if !hub.Connected {
		text, label = "NOT CONNECTED", ": "
	}
	if !hub.Since.IsZero() {
		text += " since " + ago(hub.Since)
	}
	text += ", " + strings.Join(hub.Servers, " ")
	if hub.Proxy != "" {
		text += " through " + hub.Proxy
	}
	if hub.Site != "" {
		text += ", site " + hub.Site
	}
	if !hub.Heartbeat.IsZero() {
		text += ", last heartbeat answered " + ago(hub.Heartbeat)
	}
	if hub.Paused {
		text += ", data is paused"
	}
	if hub.Unrecorded > 0 {
		text += fmt.Sprintf(", %s missing from %s", counted(hub.Unrecorded, "rejected message"), contract.StreamRejected)
	}
	if hub.Error != "" {
		text += label + quoteUnsafe(hub.Error)
	}
	return text
}

// streamTexts says in words how far a stream is forwarded: its ledger, its position, and why messages are not
// forwarded.
func streamTexts(s uplink.Stream) []string {
	position := fmt.Sprintf("position %s of %s, %s", count(s.Position), count(s.Last), lagText(s))
	if s.BytesPerSecond >= 1 {
		position += fmt.Sprintf(", %s a second", humanize.IBytes(uint64(s.BytesPerSecond)))
	}
	texts := []string{s.Mode + ": " + forwardLedger(s), position}
	if s.Paused {
		texts = append(texts, "paused by the configuration")
	}
	if s.Stalled != "" {
		texts = append(texts, "stalled: "+quoteUnsafe(s.Stalled))
	}
	return texts
}

// forwardLedger returns the equation of a forwarded stream.
func forwardLedger(s uplink.Stream) string {
	terms := []struct {
		name string
		n    uint64
	}{
		{"forwarded", s.Forwarded}, {"duplicate", s.Duplicate}, {"unchanged", s.Unchanged}, {"sampled", s.Sampled},
		{"superseded", s.Superseded}, {"rejected", s.Rejected}, {"pending", s.Pending},
	}
	var texts []string
	for _, term := range terms {
		texts = append(texts, count(term.n)+" "+term.name)
	}
	text := fmt.Sprintf("%s read = %s", count(s.Read), strings.Join(texts, " + "))
	if !s.Balanced() {
		text += "; NOT BALANCED"
	}
	return text
}

// lagText says in words how far the copy of a stream at the hub is behind.
func lagText(s uplink.Stream) string {
	if s.Behind() == 0 {
		return "not behind"
	}
	text := count(s.Behind()) + " behind"
	if s.OldestSeconds > 0 {
		text += ", the oldest " + secondsText(s.OldestSeconds) + " old"
	}
	return text
}

// secondsText returns seconds as a duration for people: 1.5s, 40s, 2h3m0s.
func secondsText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
