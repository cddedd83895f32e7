package brokerconf

import (
	"fmt"
	"strings"
)

// output collects the lines of an appliance.toml by table.
type output struct {
	tables map[string][]string // lines by the name of the table
	order  []string            // names of the tables in the order of their first line
}

// line adds a line to a table.
func (o *output) line(table, text string) {
	if o.tables == nil {
		o.tables = map[string][]string{}
	}
	if _, has := o.tables[table]; !has {
		o.order = append(o.order, table)
	}
	o.tables[table] = append(o.tables[table], text)
}

// set adds a key to a table, with a comment unless that is empty. The value is TOML.
func (o *output) set(table, key, value, comment string) {
	line := key + " = " + value
	if comment != "" {
		line += "  # " + comment
	}
	o.line(table, line)
}

// tableOrder lists the tables in the order of the file. A name that ends in a dot stands for all
// tables that begin with it.
var tableOrder = []string{"", "log", "broker", "broker.", "stream.", "bucket.", "adapter.", "fleet", "console"}

// rank returns the place of a table in tableOrder.
func rank(table string) int {
	for i, prefix := range tableOrder {
		if table == prefix || strings.HasSuffix(prefix, ".") && strings.HasPrefix(table, prefix) {
			return i
		}
	}
	return 0
}

// text returns the whole file: the head, the tables, and the remarks as comments.
func (o *output) text(head string, remarks []Remark) string {
	var b strings.Builder
	b.WriteString(head)
	for place := range tableOrder {
		for _, table := range o.order {
			if rank(table) != place {
				continue
			}
			if table != "" {
				fmt.Fprintf(&b, "\n[%s]\n", table)
			}
			b.WriteString(strings.Join(o.tables[table], "\n") + "\n")
		}
	}
	if len(remarks) > 0 {
		b.WriteString("\n# Settings of Choria that were not imported, or that need your attention:\n#\n")
		for _, r := range remarks {
			fmt.Fprintf(&b, "# %s\n", r)
		}
	}
	return b.String()
}
