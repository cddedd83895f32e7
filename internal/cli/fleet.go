package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/fleet"
	"github.com/spf13/cobra"
)

func (p *program) fleetCommand() *cobra.Command {
	a := &asker{program: p}
	return a.listing("fleet", "Count the nodes by their state, and say what the states mean",
		"  muster fleet\n  muster fleet --json", a.summary)
}

func (a *asker) summary(ctx context.Context, _ []string) error {
	var s fleet.Summary
	if err := a.ask(ctx, "/api/v1/fleet", &s); err != nil {
		return err
	}
	if a.asJSON {
		return a.printJSON(s)
	}
	var rows [][]string
	figures := [][]string{{"state", "nodes"}}
	for _, state := range fleet.States {
		rows = append(rows, []string{string(state), count(uint64(s.States[state])), s.Rules[state]})
		figures = append(figures, []string{string(state), strconv.Itoa(s.States[state])})
	}
	if a.asCSV {
		return a.printCSV(figures...)
	}
	rows = append(rows, []string{"all", count(uint64(s.Nodes)), ""})
	if err := a.printTable([]string{"STATE", "NODES", "RULE"}, rows); err != nil {
		return err
	}
	for _, site := range s.Storms {
		fmt.Fprintf(a.out, "\nMany nodes of site %s have gone at once; see muster events\n", site)
	}
	return nil
}

func connectionRows(c fleet.Connection) [][]string {
	switch c.Connected {
	case "yes":
		name := "proved its name"
		if !c.Verified {
			name = "by its own word"
		}
		return [][]string{{"connected", fmt.Sprintf("from %s since %s, %s", c.Address, ago(c.Since), name)}}
	case "no":
		return [][]string{{"connected", fmt.Sprintf("no, ended %s: %s", ago(c.Ended), c.Reason)}}
	default:
		return [][]string{{"connected", "not seen here"}}
	}
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return humanize.Time(t)
}

// moment is a time for programs, and nothing where it never was.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func at(t time.Time) string { return fmt.Sprintf("%s, %s", ago(t), t.UTC().Format(time.RFC3339)) }
