package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/spf13/cobra"
)

const (
	// followRetry is the pause before a console that ended the answer is asked again.
	followRetry = time.Second
	// maxEvents is how many events one answer of the API holds.
	maxEvents = 10_000
)

// eventsCommand is the events command.
type eventsCommand struct {
	consoleCommand
	follow bool
	since  string // a duration; empty: the latest events
	limit  int    // without since

	home    string // the site of the appliance
	last    uint64 // sequence of the last event that was printed
	started bool   // the header of the output was printed
}

func (p *program) eventsCommand() *cobra.Command {
	c := &eventsCommand{consoleCommand: consoleCommand{program: p}}
	cmd := c.newList("events", "List what happened to nodes",
		"  muster events --since 1h\n  muster events --follow", c.run)
	cmd.Flags().BoolVar(&c.follow, "follow", false,
		"then print new events; after a restart of the appliance, reconnect and continue without a gap")
	cmd.Flags().StringVar(&c.since, "since", "", "only events of the last 90s, 1h or 7d")
	cmd.Flags().IntVar(&c.limit, "limit", 100, "number of latest events, without --since")
	mutuallyExclusive(cmd, "since", "limit")
	return cmd
}

func (c *eventsCommand) run(ctx context.Context, _ []string) error {
	query, err := c.firstQuery()
	if err != nil {
		return err
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	summary, err := client.Fleet(ctx)
	if err != nil {
		return err
	}
	c.home = summary.Site
	if err := c.printStored(ctx, client, query); err != nil || !c.follow {
		return err
	}
	for {
		err := client.FollowEvents(ctx, c.last, c.print)
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprintf(c.err, "muster: %s; reconnecting\n", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followRetry):
		}
	}
}

// firstQuery returns the first page of stored events that the flags ask for.
func (c *eventsCommand) firstQuery() (q fleet.EventQuery, err error) {
	if c.limit < 1 || c.limit > maxEvents {
		return q, usageError{fmt.Errorf("--limit %d: want 1 to %d", c.limit, maxEvents)}
	}
	if c.since == "" {
		return fleet.EventQuery{Latest: true, Limit: c.limit}, nil
	}
	ago, err := config.ParseDuration(c.since)
	if err != nil {
		return q, usageError{fmt.Errorf("--since %q %w; write it as 90s, 1h or 7d", c.since, err)}
	}
	if ago < 0 {
		return q, usageError{fmt.Errorf("--since %q is in the future", c.since)}
	}
	return fleet.EventQuery{Since: time.Now().Add(-ago), Limit: maxEvents}, nil
}

// printStored prints stored events: one page of the latest, or with --since page after page.
func (c *eventsCommand) printStored(ctx context.Context, client *apiclient.Client, q fleet.EventQuery) error {
	for {
		page, err := client.Events(ctx, q)
		if err != nil {
			return err
		}
		if err := c.start(len(page.Events)); err != nil {
			return err
		}
		for _, event := range page.Events {
			if err := c.print(event); err != nil {
				return err
			}
		}
		if c.last = max(c.last, page.Last); q.Latest || len(page.Events) < maxEvents {
			return nil
		}
		q = fleet.EventQuery{After: c.last, Limit: maxEvents}
	}
}

// start prints the header before the first page, or that the page is empty.
func (c *eventsCommand) start(events int) error {
	if c.started {
		return nil
	}
	c.started = true
	if c.asCSV {
		return c.printCSV([]string{"sequence", "time", "event", "node", "site", "reason"})
	}
	if events == 0 && !c.asJSON && !c.follow {
		fmt.Fprintln(c.err, "no events")
	}
	return nil
}

// print prints one event on a line.
func (c *eventsCommand) print(e *fleet.Event) error {
	c.last = e.Sequence
	switch {
	case c.asJSON:
		return json.NewEncoder(c.out).Encode(e)
	case c.asCSV:
		return c.printCSV([]string{
			strconv.FormatUint(e.Sequence, 10), timestamp(e.Since), e.Event, e.Node, e.Site, e.Reason,
		})
	}
	subject := e.Node
	switch {
	case e.Node == "":
		subject = "site " + e.Site
	case e.Site != c.home:
		subject += " (site " + e.Site + ")"
	}
	_, err := fmt.Fprintf(c.out, "%s  %-9s  %s: %s\n", timestamp(e.Since), e.Event, subject, e.Reason)
	return err
}
