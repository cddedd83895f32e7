package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/spf13/cobra"
)

// fleetCommand is the fleet command.
type fleetCommand struct{ consoleCommand }

func (p *program) fleetCommand() *cobra.Command {
	c := &fleetCommand{consoleCommand{program: p}}
	return c.newList("fleet", "Count the nodes in each state, and explain the states",
		"  muster fleet\n  muster fleet --json", c.run)
}

func (c *fleetCommand) run(ctx context.Context, _ []string) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	summary, err := client.Fleet(ctx)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(summary)
	case c.asCSV:
		rows := [][]string{{"state", "nodes"}}
		for _, state := range fleet.States {
			rows = append(rows, []string{string(state), strconv.Itoa(summary.States[state])})
		}
		return c.printCSV(rows...)
	default:
		return c.printSummary(ctx, client, summary)
	}
}

func (c *fleetCommand) printSummary(ctx context.Context, client *apiclient.Client, summary fleet.Summary) error {
	sites, err := allSites(ctx, client)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, state := range fleet.States {
		if state == fleet.Provisioning { // not one of all nodes
			rows = append(rows, []string{"all", count(uint64(summary.Nodes)), ""})
		}
		rows = append(rows, []string{string(state), count(uint64(summary.States[state])), summary.Rules[state]})
	}
	if err := c.printTable([]string{"STATE", "NODES", "RULE"}, rows); err != nil {
		return err
	}
	if len(sites) > 1 {
		fmt.Fprintln(c.out)
		if err := c.printTable(siteHeader, siteRows(sites)); err != nil {
			return err
		}
	}
	for _, site := range summary.Storms {
		fmt.Fprintf(c.out, "\nMore than storm_share percent of the nodes of site %s went down within a minute; "+
			"see muster events\n", site)
	}
	return nil
}
