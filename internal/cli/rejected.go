package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/muster-appliance/muster/console"
	"github.com/spf13/cobra"
)

// rejectedCommand is the rejected command.
type rejectedCommand struct {
	consoleCommand
	permissions bool // --permissions
}

func (p *program) rejectedCommand() *cobra.Command {
	c := &rejectedCommand{consoleCommand: consoleCommand{program: p}}
	cmd := c.newList("rejected", "List refused connections and rejected messages, with the reasons",
		"  muster rejected\n  muster rejected --permissions", c.run)
	cmd.Flags().BoolVar(&c.permissions, "permissions", false,
		"list publishes and subscriptions that were refused for lack of permission, and what would allow them")
	cmd.Long = `List refused connections and rejected messages, with the reasons. A name is marked "claimed"
if nothing proves it. On a terminal, details are cut; otherwise they are complete.`
	return cmd
}

func (c *rejectedCommand) run(ctx context.Context, _ []string) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	if c.permissions {
		return c.runPermissions(ctx, client)
	}
	answer, err := client.Rejected(ctx)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(answer)
	case c.asCSV:
		rows := [][]string{{"name", "address", "by", "reason", "count", "first", "last", "detail", "verified"}}
		for _, e := range answer.Entries {
			rows = append(rows, []string{
				e.Name, e.Address, e.By, e.Reason, strconv.FormatUint(e.Count, 10),
				timestamp(e.First), timestamp(e.Last), e.Detail, strconv.FormatBool(e.Verified),
			})
		}
		return c.printCSV(rows...)
	default:
		if err := c.printEntries(answer); err != nil {
			return err
		}
		return c.mentionPermissions(ctx, client)
	}
}

func (c *rejectedCommand) printEntries(answer console.Rejected) error {
	if len(answer.Entries) == 0 {
		_, err := fmt.Fprintln(c.err, "no connection was refused and no message rejected since the start")
		return err
	}
	detail := func(text string) string { return text }
	if isTerminal(c.out) {
		detail = shorten
	}
	var rows [][]string
	for _, e := range answer.Entries {
		name := quoteUnsafe(e.Name)
		if e.Name != "" && !e.Verified {
			name += " (claimed)"
		}
		rows = append(rows, []string{
			name, e.Address, e.By, e.Reason, count(e.Count), ago(e.First), ago(e.Last), quoteUnsafe(detail(e.Detail)),
		})
	}
	header := []string{"NAME", "ADDRESS", "BY", "REASON", "TIMES", "FIRST", "LAST", "DETAIL"}
	if err := c.printTable(header, rows); err != nil {
		return err
	}
	if answer.Discarded > 0 {
		fmt.Fprintf(c.err, "%s earlier entries were discarded\n", count(answer.Discarded))
	}
	return nil
}
