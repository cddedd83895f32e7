package translate

import (
	"fmt"
	"slices"
	"strings"
)

// Output collects the lines of an appliance.toml by table.
type Output struct {
	tables map[string][]string // lines by the name of the table
	order  []string            // names of the tables in the order of their first line
}

// Line adds a line to a table.
func (o *Output) Line(table, text string) {
	if o.tables == nil {
		o.tables = map[string][]string{}
	}
	if _, has := o.tables[table]; !has {
		o.order = append(o.order, table)
	}
	o.tables[table] = append(o.tables[table], text)
}

// Set adds a key to a table, with a comment unless that is empty. The value is TOML.
func (o *Output) Set(table, key, value, comment string) {
	line := key + " = " + value
	if comment != "" {
		line += "  # " + comment
	}
	o.Line(table, line)
}

// tableOrder lists the tables in the order of the file. A name that ends in a dot stands for all
// tables that begin with it.
var tableOrder = []string{
	"", "log", "broker", "broker.", "stream.", "bucket.", "adapter.", "forward.", "fleet", "console",
}

// rank returns the place of a table in tableOrder.
func rank(table string) int {
	for i, prefix := range tableOrder {
		if table == prefix || strings.HasSuffix(prefix, ".") && strings.HasPrefix(table, prefix) {
			return i
		}
	}
	return 0
}

// Has reports whether a table has lines.
func (o *Output) Has(table string) bool { return len(o.tables[table]) > 0 }

// Sort sorts the lines of a table.
func (o *Output) Sort(table string) { slices.Sort(o.tables[table]) }

// Text returns the whole file: the head, the tables, and the remarks about settings of a program as comments.
func (o *Output) Text(head, program string, remarks []Remark) string {
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
		fmt.Fprintf(&b, "\n# Settings of %s that were not imported, or that need your attention:\n#\n", program)
		for _, r := range remarks {
			fmt.Fprintf(&b, "# %s\n", r)
		}
	}
	return b.String()
}
