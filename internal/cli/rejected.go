package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/muster-appliance/muster/console"
	"github.com/spf13/cobra"
)

func (p *program) rejectedCommand() *cobra.Command {
	a := &asker{program: p}
	return a.listing("rejected", "Show who is refused by the broker or rejected by an adapter, and why",
		"  muster rejected\n  muster rejected --json", a.rejected)
}

func (a *asker) rejected(ctx context.Context, _ []string) error {
	var answer console.Rejected
	if err := a.ask(ctx, "/api/v1/rejected", &answer); err != nil {
		return err
	}
	if a.asJSON {
		return a.printJSON(answer)
	}
	if a.asCSV {
		rows := [][]string{{"name", "address", "by", "reason", "count", "first", "last", "detail"}}
		for _, c := range answer.Cases {
			rows = append(rows, []string{c.Name, c.Address, c.By, c.Reason, strconv.FormatUint(c.Count, 10), moment(c.First), moment(c.Last), c.Detail})
		}
		return a.printCSV(rows...)
	}
	if len(answer.Cases) == 0 {
		_, err := fmt.Fprintln(a.err, "nobody was refused or rejected since the start")
		return err
	}
	var rows [][]string
	for _, c := range answer.Cases {
		rows = append(rows, []string{given(c.Name), c.Address, c.By, c.Reason, count(c.Count), ago(c.First), ago(c.Last), given(short([]byte(c.Detail)))})
	}
	if err := a.printTable([]string{"NAME", "ADDRESS", "BY", "REASON", "TIMES", "FIRST", "LAST", "DETAIL"}, rows); err != nil {
		return err
	}
	if answer.Forgotten > 0 {
		fmt.Fprintf(a.err, "%s more are forgotten\n", count(answer.Forgotten))
	}
	return nil
}

// given is a name that nobody has proved, so that it does nothing to a terminal or a table.
func given(name string) string {
	if name == "" {
		return "-"
	}
	quoted := fmt.Sprintf("%q", name)
	if quoted == `"`+name+`"` {
		return name
	}
	return quoted
}
