package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/spf13/cobra"
)

// sitesCommand is the sites command.
type sitesCommand struct{ consoleCommand }

func (p *program) sitesCommand() *cobra.Command {
	c := &sitesCommand{consoleCommand{program: p}}
	cmd := c.newList("sites", "List the sites that forward to an appliance, or show one",
		"  muster sites\n  muster sites ams", c.run)
	cmd.Use, cmd.Args = "sites [NAME]", atMostOneSite
	cmd.Long = `List the sites that forward to an appliance, and its own: as a table on a terminal,
otherwise one name a line. With a name, show one site: its state and the reason, its nodes,
and how far each of its streams is forwarded.`
	cmd.ValidArgsFunction = c.complete
	return cmd
}

func atMostOneSite(_ *cobra.Command, args []string) error {
	if len(args) > 1 || slices.Contains(args, "") {
		return errors.New("name one site, such as muster sites ams; without a name, all are listed")
	}
	return nil
}

// complete returns the names of sites for the shell.
func (c *sitesCommand) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.siteNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

// completeSiteFlag makes the shell complete the flag --site.
func (c *consoleCommand) completeSiteFlag(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("site", // fails only if there is no such flag
		func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return c.siteNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
		})
}

// siteNames returns the names of sites for the shell; none if no appliance answers.
func (c *consoleCommand) siteNames(ctx context.Context) (names []string) {
	client, err := c.connect()
	if err != nil {
		return nil
	}
	answer, _ := client.Sites(ctx) // without an answer the shell completes nothing
	for _, s := range answer.Sites {
		names = append(names, s.Site)
	}
	return names
}

func (c *sitesCommand) run(ctx context.Context, args []string) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	if len(args) == 1 {
		return c.show(ctx, client, args[0])
	}
	answer, err := client.Sites(ctx)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(answer)
	case c.asCSV:
		return c.printCSV(siteRecords(answer.Sites)...)
	case isTerminal(c.out):
		return c.printTable(siteHeader, siteRows(answer.Sites))
	}
	for _, s := range answer.Sites {
		if _, err := fmt.Fprintln(c.out, s.Site); err != nil {
			return err
		}
	}
	return nil
}

// show prints one site.
func (c *sitesCommand) show(ctx context.Context, client *apiclient.Client, name string) error {
	s, err := client.Site(ctx, name)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(s)
	case c.asCSV:
		return c.printCSV(siteRecords([]fleet.SiteStatus{s})...)
	default:
		return c.printTable([]string{s.Site, ""}, siteDetails(s))
	}
}

// siteStates are the states of nodes that a list of sites has columns for.
var siteStates = []fleet.State{fleet.Up, fleet.Late, fleet.Down}

var siteHeader = []string{"SITE", "STATE", "SINCE", "NODES", "UP", "LATE", "DOWN", "LAG", "AS OF", "VERSION"}

// siteRows returns the rows of a table of sites.
func siteRows(sites []fleet.SiteStatus) (rows [][]string) {
	for _, s := range sites {
		since := ago(s.Since)
		if s.State == fleet.SiteWaiting {
			since = ""
		}
		row := []string{s.Site, string(s.State), since, count(uint64(nodesOf(s)))}
		for _, state := range siteStates {
			row = append(row, count(uint64(s.Nodes[state])))
		}
		lag, asOf := "none", ago(s.AsOf)
		switch {
		case s.Home:
			lag, asOf = "", ""
		case s.State == fleet.SiteWaiting:
			lag = ""
		case s.LagMessages > 0:
			lag = fmt.Sprintf("%s, %s", counted(s.LagMessages, "message"), secondsText(s.LagSeconds))
		}
		rows = append(rows, append(row, lag, asOf, s.Version))
	}
	return rows
}

// siteRecords returns sites as CSV.
func siteRecords(sites []fleet.SiteStatus) [][]string {
	records := [][]string{{
		"site", "home", "state", "since", "reason", "as_of", "nodes", "up", "late", "down", "stopped", "connected",
		"provisioning", "lag_messages", "lag_seconds", "clock_seconds", "edge", "via", "address", "version",
	}}
	decimal := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	for _, s := range sites {
		record := []string{
			s.Site, strconv.FormatBool(s.Home), string(s.State), timestamp(s.Since), s.Reason, timestamp(s.AsOf),
			strconv.Itoa(nodesOf(s)),
		}
		for _, state := range fleet.States {
			record = append(record, strconv.Itoa(s.Nodes[state]))
		}
		records = append(records, append(record, strconv.FormatUint(s.LagMessages, 10), decimal(s.LagSeconds),
			decimal(s.ClockSeconds), s.Edge, s.Via, s.Address, s.Version))
	}
	return records
}

// nodesOf returns how many nodes a site has, without those in provisioning.
func nodesOf(s fleet.SiteStatus) (n int) {
	for state, nodes := range s.Nodes {
		if state != fleet.Provisioning {
			n += nodes
		}
	}
	return n
}

// siteLag says in words how far the streams of a site are behind at its hub.
func siteLag(s fleet.SiteStatus) string {
	return lagText(uplink.Stream{Unread: s.LagMessages, OldestSeconds: s.LagSeconds})
}

// allSites returns the sites that an appliance knows, its own first; none for an appliance of a version without
// sites.
func allSites(ctx context.Context, client *apiclient.Client) ([]fleet.SiteStatus, error) {
	answer, err := client.Sites(ctx)
	if apiclient.HasCode(err, console.CodeNotFound) || apiclient.HasCode(err, console.CodeFleetDisabled) {
		err = nil
	}
	return answer.Sites, err
}

// siteCounts are the sites that forward to an appliance, in numbers.
type siteCounts struct {
	All    int                     `json:"all"`
	States map[fleet.SiteState]int `json:"states"`
	Down   []string                `json:"down"` // their names
}

func countSites(sites []fleet.SiteStatus) *siteCounts {
	states := map[fleet.SiteState]int{fleet.SiteUp: 0, fleet.SiteDown: 0, fleet.SiteWaiting: 0}
	c := &siteCounts{States: states, Down: []string{}}
	for _, s := range sites {
		if s.Home {
			continue
		}
		c.All++
		c.States[s.State]++
		if s.State == fleet.SiteDown {
			c.Down = append(c.Down, s.Site)
		}
	}
	return c
}

// String returns the numbers in words, with the names of the first sites that are down.
func (c *siteCounts) String() string {
	down := ""
	if len(c.Down) > 0 {
		down = " (" + strings.Join(abbreviate(c.Down), " ") + ")"
	}
	return fmt.Sprintf("%d: %d up, %d down%s, %d waiting", c.All, c.States[fleet.SiteUp], c.States[fleet.SiteDown], down,
		c.States[fleet.SiteWaiting])
}
