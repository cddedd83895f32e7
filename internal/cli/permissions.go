package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/apiclient"
)

// runPermissions lists the publishes and subscriptions that were refused for lack of permission.
func (c *rejectedCommand) runPermissions(ctx context.Context, client *apiclient.Client) error {
	answer, err := client.Permissions(ctx)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(answer)
	case c.asCSV:
		rows := [][]string{{"identity", "role", "kind", "subject", "count", "first", "last", "address", "allowed_by"}}
		for _, p := range answer.Entries {
			rows = append(rows, []string{
				p.Identity, p.Role, p.Kind, p.Subject, strconv.FormatUint(p.Count, 10),
				timestamp(p.First), timestamp(p.Last), p.Address, p.AllowedBy,
			})
		}
		return c.printCSV(rows...)
	default:
		return c.printPermissions(answer)
	}
}

func (c *rejectedCommand) printPermissions(answer console.Permissions) error {
	if len(answer.Entries) == 0 {
		_, err := fmt.Fprintln(c.err, "no publish or subscription was refused for lack of permission since the start")
		return err
	}
	var rows [][]string
	for _, p := range answer.Entries {
		rows = append(rows, []string{
			quoteUnsafe(p.Identity), p.Kind, quoteUnsafe(p.Subject), count(p.Count), ago(p.Last), quoteUnsafe(p.AllowedBy),
		})
	}
	if err := c.printTable([]string{"IDENTITY", "KIND", "SUBJECT", "TIMES", "LAST", "ALLOWED BY"}, rows); err != nil {
		return err
	}
	if answer.Discarded > 0 {
		fmt.Fprintf(c.err, "%s earlier entries were discarded\n", count(answer.Discarded))
	}
	return nil
}

// mentionPermissions says how many publishes and subscriptions were refused, if any were.
func (c *rejectedCommand) mentionPermissions(ctx context.Context, client *apiclient.Client) error {
	answer, err := client.Permissions(ctx)
	if err != nil || len(answer.Entries) == 0 {
		return err
	}
	var refused uint64
	for _, p := range answer.Entries {
		refused += p.Count
	}
	_, err = fmt.Fprintf(c.err, "publishes and subscriptions that were refused for lack of permission: %s; "+
		"muster rejected --permissions lists them\n", count(refused))
	return err
}
