package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/spf13/cobra"
)

const (
	// watchInterval is how often a watched list is drawn.
	watchInterval = 2 * time.Second
	// mostSorted is how many nodes are listed in another order than that of names.
	mostSorted = 10_000
)

// nodes is the nodes command.
type nodes struct {
	asker
	states, sites, identities, where, classes, agents []string

	text   string
	sort   string
	limit  int
	format string
	watch  bool
}

// nodeFormats are what --format takes; the first is what --json prints.
var nodeFormats = []string{"jsonl", "csv", "names", "flatfile", "inventory"}

func (p *program) nodesCommand() *cobra.Command {
	n := &nodes{asker: asker{program: p}}
	cmd := n.listing("nodes", "List the nodes of the fleet, or those that are asked for",
		"  muster nodes --state down\n  muster nodes --where os.name=Debian --class apache --csv",
		func(ctx context.Context, _ []string) error { return n.run(ctx) })
	cmd.Long = `List the nodes of the fleet, or those that are asked for: a table on a terminal, one
name a line otherwise. Identities, facts, classes and agents are matched as Choria
matches them; facts, classes and agents must be kept, see fleet.index.`
	flags := cmd.Flags()
	flags.StringArrayVar(&n.states, "state", nil, "of this state: up, late, down or stopped; of one of them, where given again")
	flags.StringArrayVar(&n.sites, "site", nil, "of this site; of one of them, where given again")
	flags.StringArrayVar(&n.identities, "identity", nil, "with this name, or one that matches /a regular expression/; one of them, where given again")
	flags.StringArrayVar(&n.where, "where", nil, "with such a fact, as os.name=Debian or cores>8; with all of them, where given again")
	flags.StringArrayVar(&n.classes, "class", nil, "of this class, or one that matches /a regular expression/; of all of them, where given again")
	flags.StringArrayVar(&n.agents, "agent", nil, "with this agent, or one that matches /a regular expression/; with all of them, where given again")
	flags.StringVar(&n.text, "text", "", "with this in its name")
	flags.StringVar(&n.sort, "sort", "name", "order: name, received or since; -received or -since for the latest first")
	flags.IntVar(&n.limit, "limit", 0, "at most so many, up to 10000; 0: all, or 10000 in another order than that of names")
	flags.StringVar(&n.format, "format", "", "jsonl, csv, names, or for Choria's clients flatfile or inventory, with what each node registered last")
	flags.BoolVar(&n.watch, "watch", false, "on a terminal, draw the table again every two seconds")
	mutuallyExclusive(cmd, "json", "csv", "format", "watch")
	return cmd
}

func (n *nodes) run(ctx context.Context) error {
	if n.limit < 0 || n.limit > mostSorted {
		return usageError{fmt.Errorf("--limit %d: want 1 to %d, or 0", n.limit, mostSorted)}
	}
	for flag, values := range map[string][]string{"state": n.states, "site": n.sites, "identity": n.identities, "where": n.where, "class": n.classes, "agent": n.agents} {
		if slices.Contains(values, "") {
			return usageError{fmt.Errorf("--%s is empty, and would not select anybody less", flag)}
		}
	}
	switch {
	case n.format != "" && !slices.Contains(nodeFormats, n.format):
		return usageError{fmt.Errorf("--format %q: want one of %v", n.format, nodeFormats)}
	case n.format != "":
		return n.pass(ctx, n.format)
	case n.watch && !isTerminal(n.out):
		return usageError{errors.New("--watch draws on a terminal, and this is none; muster events --follow goes on by itself")}
	case n.watch:
		return n.redraw(ctx)
	case n.asCSV:
		return n.pass(ctx, "csv")
	case n.asJSON:
		return n.pass(ctx, "jsonl")
	case !isTerminal(n.out):
		return n.pass(ctx, "names")
	default:
		return n.table(ctx)
	}
}

// path is the question to the console.
func (n *nodes) path(format string) string {
	query := url.Values{
		"state": n.states, "site": n.sites, "identity": n.identities, "where": n.where, "class": n.classes, "agent": n.agents,
		"text": {n.text}, "sort": {n.sort}, "format": {format},
	}
	limit := n.limit
	if limit == 0 && n.sort != "name" {
		limit = mostSorted
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return "/api/v1/nodes?" + query.Encode()
}

// pass hands on what the console writes.
func (n *nodes) pass(ctx context.Context, format string) error {
	response, err := n.fetchAs(ctx, n.path(format), "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(n.out, response.Body); errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the answer breaks off: what is printed is not all; the appliance has ended, or its log says why")
	} else if err != nil {
		return err
	}
	if without := response.Trailer.Get(console.WithoutInventory); without != "" && without != "0" {
		fmt.Fprintf(n.err, "%s of them have registered no inventory: they are written without facts, classes and agents\n", without)
	}
	return nil
}

func (n *nodes) table(ctx context.Context) error {
	body, err := n.fetch(ctx, n.path("jsonl"))
	if err != nil {
		return err
	}
	defer body.Close()
	var rows [][]string
	for decoder := json.NewDecoder(body); ; {
		var node fleet.NodeStatus
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		rows = append(rows, []string{node.Name, string(node.State), ago(node.Since), ago(node.Registered), node.Connection.Connected, node.Site})
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(n.err, "no nodes")
		return err
	}
	return n.printTable([]string{"NODE", "STATE", "SINCE", "REGISTERED", "CONNECTED", "SITE"}, rows)
}

// redraw draws the table again and again, from the top of the terminal.
func (n *nodes) redraw(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	screen := n.out
	for {
		var table bytes.Buffer
		n.out = &table
		if err := n.table(ctx); err != nil {
			return err
		}
		fmt.Fprintf(screen, "\x1b[H\x1b[2J%s", &table)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
