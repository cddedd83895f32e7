package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/fleet"
	"github.com/spf13/cobra"
)

// one is the node command.
type one struct {
	asker
	facts bool
	diff  bool
}

func (p *program) nodeCommand() *cobra.Command {
	o := &one{asker: asker{program: p}}
	cmd := o.asking("node NAME", "Show what is known of a node, what it registered, or what that changed",
		"  muster node web1.example.net\n  muster node web1.example.net --diff", oneNode, o.run)
	cmd.Flags().BoolVar(&o.facts, "facts", false, "print what it registered last, as it did")
	cmd.Flags().BoolVar(&o.diff, "diff", false, "print what its last registration changed; fleet.volatile names facts that do not count")
	mutuallyExclusive(cmd, "facts", "diff")
	return cmd
}

func oneNode(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("name one node, such as muster node web1.example.net; muster nodes lists them")
	}
	return nil
}

func (o *one) run(ctx context.Context, args []string) error {
	path := "/api/v1/nodes/" + url.PathEscape(args[0])
	if o.diff {
		return o.changes(ctx, path)
	}
	var d fleet.Detail
	if err := o.ask(ctx, path, &d); err != nil {
		return err
	}
	switch {
	case o.facts:
		return o.registered(d)
	case o.asJSON:
		return o.printJSON(d)
	default:
		return o.printTable([]string{d.Name, ""}, detailRows(d))
	}
}

func detailRows(d fleet.Detail) [][]string {
	rows := [][]string{
		{"state", fmt.Sprintf("%s since %s: %s", d.State, ago(d.Since), d.Reason)},
		{"site", d.Site},
		{"registered", at(d.Registered)},
	}
	if d.RegistersEverySeconds > 0 {
		rows = append(rows, []string{"usually", "every " + (time.Duration(d.RegistersEverySeconds) * time.Second).String()})
	}
	rows = append(rows, connectionRows(d.Connection)...)
	if !d.ShutdownAt.IsZero() {
		rows = append(rows, []string{"said goodbye", at(d.ShutdownAt)})
	}
	for _, a := range d.Arrivals {
		rows = append(rows, []string{"arrived", fmt.Sprintf("%s, %s, verified: %s", at(a.Received), humanize.IBytes(uint64(a.Bytes)), a.Verified)})
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
	return rows
}

// registered prints a registration: JSON with indents, anything else as it is.
func (o *one) registered(d fleet.Detail) error {
	r := d.Registration
	switch {
	case r == nil:
		return fmt.Errorf("no registration of %s is in the stream any more", d.Name)
	case r.Data != nil:
		return o.printJSON(r.Data)
	case r.Text != "":
		_, err := fmt.Fprintln(o.out, strings.TrimSuffix(r.Text, "\n"))
		return err
	default:
		return fmt.Errorf("the registration of %s cannot be shown: %s", d.Name, r.Error)
	}
}

func (o *one) changes(ctx context.Context, path string) error {
	var d fleet.Diff
	if err := o.ask(ctx, path+"/diff", &d); err != nil {
		return err
	}
	switch {
	case o.asJSON:
		return o.printJSON(d)
	case d.Before == nil:
		return fmt.Errorf("fewer than two registrations of %s are in the stream, so there is nothing to compare", d.Node)
	}
	var rows [][]string
	for _, c := range d.Changes {
		rows = append(rows, []string{c.Kind, c.Name, c.Change, short(c.Before), short(c.Now)})
	}
	fmt.Fprintf(o.err, "%d changes from %s to %s, and %d of volatile facts\n", len(d.Changes), d.Before.Received.UTC().Format(time.RFC3339),
		d.Now.Received.UTC().Format(time.RFC3339), d.Volatile)
	if len(rows) == 0 {
		return nil
	}
	return o.printTable([]string{"KIND", "NAME", "CHANGE", "BEFORE", "NOW"}, rows)
}

// short is the beginning of a value, where it is long.
func short(value []byte) string {
	const most = 60
	if text := []rune(string(value)); len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(value)
}
