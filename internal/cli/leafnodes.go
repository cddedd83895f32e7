package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/apiclient"
)

// leafnodes returns the links of an appliance to brokers of other sites; none for an appliance of a version without.
func leafnodes(ctx context.Context, client *apiclient.Client) ([]console.Leafnode, error) {
	answer, err := client.Leafnodes(ctx)
	if apiclient.HasCode(err, console.CodeNotFound) || apiclient.HasCode(err, console.CodeFleetDisabled) {
		err = nil
	}
	return append([]console.Leafnode{}, answer.Leafnodes...), err
}

// leafnodeText says in words whether a link is connected, and what crosses it.
func leafnodeText(l console.Leafnode) string {
	text := "connected"
	if !l.Connected {
		text = "NOT CONNECTED"
	}
	if !l.Since.IsZero() {
		text += " since " + ago(l.Since)
	}
	switch {
	case l.Remote:
		text += ", to " + strings.Join(l.URLs, " ")
	case l.Address != "":
		text += ", from " + l.Address
	}
	if l.Connected {
		text += map[string]string{
			"nodes": "; requests to its nodes cross", "clients": "; requests of its clients cross",
			"both": "; requests cross both ways",
		}[l.Allow]
		text += fmt.Sprintf(", %s messages received, %s sent", count(l.Received), count(l.Sent))
		if l.RoundTripMS > 0 {
			trip := time.Duration(l.RoundTripMS * float64(time.Millisecond))
			text += ", round trip " + trip.Round(time.Millisecond/10).String()
		}
	}
	if l.Error != "" {
		text += ": " + quoteUnsafe(l.Error)
	}
	return text
}
