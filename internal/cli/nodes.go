package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/spf13/cobra"
)

const (
	// watchInterval is the time between two drawings of a watched list.
	watchInterval = 2 * time.Second
	// maxNodes is the highest --limit, and the limit of any order other than by name.
	maxNodes = 10_000
)

// nodesCommand is the nodes command.
type nodesCommand struct {
	consoleCommand
	query  apiclient.NodeQuery
	format string
	watch  bool
}

// nodeFormats are the values of --format.
var nodeFormats = []string{"table", "json", "jsonl", "csv", "names", "flatfile", "inventory"}

func (p *program) nodesCommand() *cobra.Command {
	c := &nodesCommand{consoleCommand: consoleCommand{program: p}}
	cmd := c.newList("nodes", "List nodes",
		"  muster nodes --state down\n  muster nodes --where os.name=Debian --class apache --csv", c.run)
	cmd.Long = `List nodes: as a table on a terminal, otherwise one name a line. Without filters, all
nodes of the fleet; nodes in provisioning only with --state provisioning. Identities, facts,
classes and agents are matched as Choria matches them; facts, classes, agents and collectives
are kept unless fleet.index is empty.`
	flags, q := cmd.Flags(), &c.query
	flags.StringArrayVar(&q.States, "state", nil,
		"only nodes in this state: up, late, down, stopped, connected or provisioning; "+
			"repeatable, a node must be in one of them")
	flags.StringArrayVar(&q.Sites, "site", nil, "only nodes of this site; repeatable, a node must be of one of them")
	c.completeSiteFlag(cmd)
	flags.StringArrayVar(&q.Identities, "identity", nil,
		"only nodes with this name or a name that matches /a regular expression/; "+
			"repeatable, a node must match one of them")
	flags.StringArrayVar(&q.Where, "where", nil,
		"only nodes with such a fact, as os.name=Debian or cores>8; repeatable, a node must match all of them")
	flags.StringArrayVar(&q.Classes, "class", nil,
		"only nodes with this class, or one that matches /a regular expression/; "+
			"repeatable, a node must match all of them")
	flags.StringArrayVar(&q.Agents, "agent", nil,
		"only nodes with this agent, or one that matches /a regular expression/; "+
			"repeatable, a node must match all of them")
	flags.StringArrayVar(&q.Collectives, "collective", nil,
		"only nodes in this collective, and those that do not register their collectives; "+
			"repeatable, a node must be in one of them")
	flags.StringVar(&q.Text, "text", "", "only nodes whose name contains this text")
	flags.StringVar(&q.Sort, "sort", "name", "order: name, received or since; -received or -since: latest first")
	flags.IntVar(&q.Limit, "limit", 0, "maximum number of nodes, up to 10000; 0: all by name, 10000 in another order")
	flags.StringVar(&c.format, "format", "",
		"table, json or jsonl (an object a line, as --json), csv or names; "+
			"for Choria's clients flatfile, or inventory with the last registrations")
	flags.BoolVar(&c.watch, "watch", false, "redraw the table every two seconds; needs a terminal")
	mutuallyExclusive(cmd, "json", "csv", "format", "watch")
	return cmd
}

func (c *nodesCommand) run(ctx context.Context, _ []string) error {
	if err := c.validate(); err != nil {
		return err
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	if c.query.Limit == 0 && c.query.Sort != "name" {
		c.query.Limit = maxNodes
	}
	if c.watch {
		return c.redraw(ctx, client)
	}
	switch format := c.outputFormat(); format {
	case "table":
		return c.printNodes(ctx, client)
	case "json": // a page of the API is JSON, too, but not all nodes
		return c.copy(ctx, client, "jsonl")
	default:
		return c.copy(ctx, client, format)
	}
}

// outputFormat returns the one of nodeFormats that the flags choose.
func (c *nodesCommand) outputFormat() string {
	switch {
	case c.format != "":
		return c.format
	case c.asCSV:
		return "csv"
	case c.asJSON:
		return "json"
	case !isTerminal(c.out):
		return "names"
	default:
		return "table"
	}
}

// validate checks the flags.
func (c *nodesCommand) validate() error {
	q := c.query
	if q.Limit < 0 || q.Limit > maxNodes {
		return usageError{fmt.Errorf("--limit %d: want 1 to %d, or 0", q.Limit, maxNodes)}
	}
	for flag, values := range map[string][]string{
		"state": q.States, "site": q.Sites, "identity": q.Identities,
		"where": q.Where, "class": q.Classes, "agent": q.Agents, "collective": q.Collectives,
	} {
		if slices.Contains(values, "") {
			return usageError{fmt.Errorf("--%s must not be empty", flag)}
		}
	}
	switch {
	case c.format != "" && !slices.Contains(nodeFormats, c.format):
		return usageError{fmt.Errorf("--format %q: want one of %v", c.format, nodeFormats)}
	case c.watch && !isTerminal(c.out):
		return usageError{errors.New("--watch needs a terminal as standard output; " +
			"muster events --follow works without one")}
	}
	return nil
}

// copy prints the nodes in a format of the API, as the console writes it.
func (c *nodesCommand) copy(ctx context.Context, client *apiclient.Client, format string) error {
	without, err := client.CopyNodes(ctx, c.out, format, c.query)
	if err == nil && without > 0 {
		fmt.Fprintf(c.err, "%d of these nodes have registered no inventory; "+
			"they are listed without facts, classes and agents\n", without)
	}
	return err
}

func (c *nodesCommand) printNodes(ctx context.Context, client *apiclient.Client) error {
	sites, err := allSites(ctx, client)
	if err != nil {
		return err
	}
	down := map[string]bool{}
	for _, s := range sites {
		down[s.Site] = s.State == fleet.SiteDown
	}
	header := []string{"NODE", "STATE", "SINCE", "REGISTERED", "CONNECTED", "SITE"}
	var rows [][]string
	outdated := false
	err = client.EachNode(ctx, c.query, func(n fleet.NodeStatus) error {
		row := []string{n.Name, string(n.State), ago(n.Since), ago(n.Registered), n.Connection.Connected, n.Site}
		if down[n.Site] && !n.AsOf.IsZero() {
			row, outdated = append(row, ago(n.AsOf)), true
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(c.err, "no nodes")
		return err
	}
	if outdated { // nodes of sites that are down: their states may have changed since
		header = append(header, "AS OF")
	}
	return c.printTable(header, rows)
}

// redraw draws the table every watchInterval, from the top of the terminal, until ctx is done.
func (c *nodesCommand) redraw(ctx context.Context, client *apiclient.Client) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	screen := c.out
	for {
		var table bytes.Buffer
		c.out = &table
		if err := c.printNodes(ctx, client); err != nil {
			return err
		}
		fmt.Fprintf(screen, "\x1b[H\x1b[2J%s", &table) // to the top left, clear the screen
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
