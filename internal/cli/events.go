package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/spf13/cobra"
)

const (
	// followAgain is the pause before a console that has gone is asked again.
	followAgain = time.Second
	// eventsAtOnce is how many events one question is answered with.
	eventsAtOnce = 10_000
	// longestEvent is what one event may be written in.
	longestEvent = 1 << 20
)

// events is the events command.
type events struct {
	asker
	follow bool
	since  string
	limit  int
	last   uint64 // sequence of the last that was printed
	begun  bool
}

func (p *program) eventsCommand() *cobra.Command {
	e := &events{asker: asker{program: p}}
	cmd := e.listing("events", "Show what has become of the nodes", "  muster events --since 1h\n  muster events --follow", e.run)
	cmd.Flags().BoolVar(&e.follow, "follow", false, "go on with those that come, also when the appliance was away in between")
	cmd.Flags().StringVar(&e.since, "since", "", "all since so long ago, such as 90s, 1h or 7d")
	cmd.Flags().IntVar(&e.limit, "limit", 100, "how many of the latest, without --since")
	mutuallyExclusive(cmd, "since", "limit")
	return cmd
}

func (e *events) run(ctx context.Context, _ []string) error {
	if e.limit < 1 || e.limit > eventsAtOnce {
		return usageError{fmt.Errorf("--limit %d: want 1 to %d", e.limit, eventsAtOnce)}
	}
	if err := e.past(ctx); err != nil || !e.follow {
		return err
	}
	for {
		err := e.listen(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprintf(e.err, "muster: %s; asking again\n", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followAgain):
		}
	}
}

// past prints those that are stored.
func (e *events) past(ctx context.Context) error {
	query := url.Values{"limit": {strconv.Itoa(e.limit)}}
	if e.since != "" {
		ago, err := config.ParseDuration(e.since)
		if err == nil && ago < 0 {
			return usageError{fmt.Errorf("--since %q has not been yet", e.since)}
		}
		if err != nil {
			return usageError{fmt.Errorf("--since %q %w; write it with one, such as 90s, 1h or 7d", e.since, err)}
		}
		query = url.Values{"limit": {strconv.Itoa(eventsAtOnce)}, "since": {time.Now().Add(-ago).UTC().Format(time.RFC3339)}}
	}
	for {
		var page fleet.EventPage
		if err := e.ask(ctx, "/api/v1/events?"+query.Encode(), &page); err != nil {
			return err
		}
		if err := e.begin(len(page.Events)); err != nil {
			return err
		}
		for _, event := range page.Events {
			if err := e.print(event); err != nil {
				return err
			}
		}
		if e.last = max(e.last, page.Last); e.since == "" || len(page.Events) < eventsAtOnce {
			return nil
		}
		query = url.Values{"limit": {strconv.Itoa(eventsAtOnce)}, "after": {strconv.FormatUint(e.last, 10)}}
	}
}

// begin prints what comes before the first page, or that there is nothing on it.
func (e *events) begin(first int) error {
	if e.begun {
		return nil
	}
	e.begun = true
	if e.asCSV {
		return e.printCSV([]string{"sequence", "time", "event", "node", "site", "reason"})
	}
	if first == 0 && !e.asJSON && !e.follow {
		fmt.Fprintln(e.err, "no events")
	}
	return nil
}

// listen prints those that come, as server-sent events, until they end.
func (e *events) listen(ctx context.Context) error {
	response, err := e.fetchAs(ctx, fmt.Sprintf("/api/v1/events?after=%d", e.last), "text/event-stream")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, longestEvent)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event fleet.Event
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if err := e.print(&event); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the appliance has ended the answer")
}

// print writes one event on a line.
func (e *events) print(event *fleet.Event) error {
	e.last = event.Sequence
	if e.asJSON {
		return json.NewEncoder(e.out).Encode(event)
	}
	if e.asCSV {
		return e.printCSV([]string{strconv.FormatUint(event.Sequence, 10), moment(event.Since), event.Event, event.Node, event.Site, event.Reason})
	}
	what := event.Node
	if what == "" {
		what = "site " + event.Site
	}
	_, err := fmt.Fprintf(e.out, "%s  %-9s  %s: %s\n", event.Since.UTC().Format(time.RFC3339), event.Event, what, event.Reason)
	return err
}
