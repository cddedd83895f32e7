package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/spf13/cobra"
)

// nodeCommand is the node command.
type nodeCommand struct {
	consoleCommand
	facts bool
	diff  bool
	site  string // --site; empty: the name is that of one node only
}

func (p *program) nodeCommand() *cobra.Command {
	c := &nodeCommand{consoleCommand: consoleCommand{program: p}}
	cmd := c.newQuery("node NAME", "Show one node: its state, its registrations, and what the last one changed",
		"  muster node web1.example.net --diff\n  muster node web1.example.net --site ams", oneNode, c.run)
	cmd.Flags().BoolVar(&c.facts, "facts", false, "print the content of the last registration")
	cmd.Flags().BoolVar(&c.diff, "diff", false,
		"print what the last registration changed, without the facts that fleet.volatile names")
	cmd.Flags().StringVar(&c.site, "site", "", "site of the node; needed only if several sites have a node of that name")
	c.completeSiteFlag(cmd)
	mutuallyExclusive(cmd, "facts", "diff")
	return cmd
}

func oneNode(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("name one node, such as muster node web1.example.net; muster nodes lists them")
	}
	return nil
}

func (c *nodeCommand) run(ctx context.Context, args []string) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	id := fleet.NodeID{Site: c.site, Name: args[0]}
	if c.diff {
		return c.printDiff(ctx, client, id)
	}
	detail, err := client.Node(ctx, id)
	switch {
	case err != nil:
		return err
	case c.facts:
		return c.printRegistration(detail)
	case c.asJSON:
		return c.printJSON(detail)
	default:
		return c.printDetail(ctx, client, detail)
	}
}

// printDetail prints a node as a table, and how old what is known of it is if another site forwards it.
func (c *nodeCommand) printDetail(ctx context.Context, client *apiclient.Client, d fleet.Detail) error {
	siteText := d.Site
	if !d.AsOf.IsZero() {
		site, err := client.Site(ctx, d.Site)
		if err != nil {
			return err
		}
		siteText = forwardedText(site)
	}
	return c.printTable([]string{d.Name, ""}, detailRows(d, siteText))
}

// forwardedText says of a site that forwards to this appliance how old is what it forwarded, and how far behind.
func forwardedText(s fleet.SiteStatus) string {
	text := s.Site
	if s.State != fleet.SiteUp {
		text += fmt.Sprintf(", which is %s since %s", s.State, ago(s.Since))
	}
	return fmt.Sprintf("%s; as of %s, %s", text, ago(s.AsOf), siteLag(s))
}

func detailRows(d fleet.Detail, site string) [][]string {
	rows := [][]string{{"state", fmt.Sprintf("%s since %s: %s", d.State, ago(d.Since), d.Reason)}, {"site", site}}
	if len(d.AlsoAt) > 0 {
		rows = append(rows, []string{"same name", "a node of another site: " + strings.Join(d.AlsoAt, ", ") + "; see --site"})
	}
	rows = append(rows, []string{"registered", agoAndTimestamp(d.Registered)})
	if d.RegistersEverySeconds > 0 {
		rows = append(rows, []string{"registers", "every " + (time.Duration(d.RegistersEverySeconds) * time.Second).String()})
	}
	if r := d.Rejected; r != nil {
		rows = append(rows, []string{"rejected", fmt.Sprintf("%s, %s: %s", agoAndTimestamp(r.At), r.Reason, r.Detail)})
	}
	rows = append(rows, connectionRow(d.Connection))
	if !d.ShutdownAt.IsZero() {
		rows = append(rows, []string{"shutdown event", agoAndTimestamp(d.ShutdownAt)})
	}
	for _, a := range d.Registrations {
		rows = append(rows, []string{"registration", fmt.Sprintf("%s, %s, verified: %s",
			agoAndTimestamp(a.Received), humanize.IBytes(uint64(a.Bytes)), a.Verified)})
	}
	for _, name := range slices.Sorted(maps.Keys(d.Facts)) {
		rows = append(rows, []string{"fact " + name, d.FactText(name)})
	}
	if len(d.Classes) > 0 {
		rows = append(rows, []string{"classes", strings.Join(d.Classes, " ")})
	}
	if len(d.Agents) > 0 {
		rows = append(rows, []string{"agents", strings.Join(d.Agents, " ")})
	}
	if len(d.Collectives) > 0 {
		rows = append(rows, []string{"collectives", strings.Join(d.Collectives, " ")})
	}
	return rows
}

func connectionRow(c fleet.Connection) []string {
	switch c.Connected {
	case "yes":
		name := "name verified"
		if !c.Verified {
			name = "name not verified"
		}
		return []string{"connected", fmt.Sprintf("from %s since %s, %s", c.Address, ago(c.Since), name)}
	case "no":
		return []string{"connected", fmt.Sprintf("no, ended %s: %s", ago(c.Ended), c.Reason)}
	default:
		return []string{"connected", "unknown: no connection seen by this appliance"}
	}
}

// printRegistration prints the content of the last registration: JSON indented, other text as it
// is.
func (c *nodeCommand) printRegistration(d fleet.Detail) error {
	r := d.Registration
	switch {
	case r == nil && d.Registered.IsZero():
		return fmt.Errorf("%s has not registered yet", d.Name)
	case r == nil:
		return fmt.Errorf("the stream has no registration of %s any more", d.Name)
	case r.Data != nil:
		return c.printJSON(r.Data)
	case r.Text != "":
		_, err := fmt.Fprintln(c.out, strings.TrimSuffix(r.Text, "\n"))
		return err
	default:
		return fmt.Errorf("the registration of %s cannot be shown: %s", d.Name, r.Error)
	}
}

func (c *nodeCommand) printDiff(ctx context.Context, client *apiclient.Client, id fleet.NodeID) error {
	d, err := client.Diff(ctx, id)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(d)
	case d.Before == nil:
		return fmt.Errorf("the stream has fewer than two registrations of %s, so there is nothing to compare", d.Node)
	}
	fmt.Fprintf(c.err, "%d changes between the registrations received at %s and %s; "+
		"%d changes of volatile facts are not shown\n",
		len(d.Changes), timestamp(d.Before.Received), timestamp(d.Now.Received), d.Volatile)
	if len(d.Changes) == 0 {
		return nil
	}
	var rows [][]string
	for _, change := range d.Changes {
		rows = append(rows, []string{
			change.Kind, change.Name, change.Change, shorten(string(change.Before)), shorten(string(change.Now)),
		})
	}
	return c.printTable([]string{"KIND", "NAME", "CHANGE", "BEFORE", "NOW"}, rows)
}
