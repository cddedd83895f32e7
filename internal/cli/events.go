package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/spf13/cobra"
)

// followInterval is how often events are asked for that have come since.
const followInterval = time.Second

// events is the events command.
type events struct {
	asker
	follow bool
	limit  int
}

func (p *program) eventsCommand() *cobra.Command {
	e := &events{asker: asker{program: p}}
	cmd := e.asking("events", "Show what has become of the nodes", "  muster events\n  muster events --follow", cobra.NoArgs, e.run)
	cmd.Flags().BoolVar(&e.follow, "follow", false, "go on with those that come")
	cmd.Flags().IntVar(&e.limit, "limit", 100, "how many of the latest to begin with")
	return cmd
}

func (e *events) run(ctx context.Context, _ []string) error {
	if e.limit < 1 || e.limit > 10_000 {
		return usageError{fmt.Errorf("--limit %d: want 1 to 10000", e.limit)}
	}
	last, err := e.page(ctx, 0)
	if err != nil || !e.follow {
		return err
	}
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if last, err = e.page(ctx, last); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// page prints the events after a sequence, and gives the sequence of the last.
func (e *events) page(ctx context.Context, after uint64) (last uint64, err error) {
	var page struct {
		Events []*fleet.Event `json:"events"`
	}
	if err := e.ask(ctx, fmt.Sprintf("/api/v1/events?after=%d&limit=%d", after, e.limit), &page); err != nil {
		return after, err
	}
	for _, event := range page.Events {
		after = event.Sequence
		if err := e.print(event); err != nil {
			return after, err
		}
	}
	return after, nil
}

// print writes one event on a line: with --json as an object.
func (e *events) print(event *fleet.Event) error {
	if e.asJSON {
		return json.NewEncoder(e.out).Encode(event)
	}
	what := event.Node
	if what == "" {
		what = "site " + event.Site
	}
	_, err := fmt.Fprintf(e.out, "%s  %-9s  %s: %s\n", event.Since.UTC().Format(time.RFC3339), event.Event, what, event.Reason)
	return err
}
