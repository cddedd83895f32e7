package brokerconf

import (
	"fmt"
	"strings"
)

// output is an appliance.toml that is being written, table by table.
type output struct {
	tables map[string][]string // lines, by name
	order  []string
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

// set adds a key, with where it comes from, if that is not plain.
func (o *output) set(table, key, value, from string) {
	line := key + " = " + value
	if from != "" {
		line += "  # " + from
	}
	o.line(table, line)
}

// tables are how tables begin, in the order of the file.
var tables = []string{"", "log", "broker", "broker.", "stream.", "bucket.", "adapter.", "fleet", "console"}

// turn is where a table stands in the file.
func turn(table string) int {
	for i, prefix := range tables {
		if table == prefix || strings.HasSuffix(prefix, ".") && strings.HasPrefix(table, prefix) {
			return i
		}
	}
	return 0
}

func (o *output) text(head string, remarks []Remark) string {
	var b strings.Builder
	b.WriteString(head)
	for at := range tables {
		for _, table := range o.order {
			if turn(table) != at {
				continue
			}
			if table != "" {
				fmt.Fprintf(&b, "\n[%s]\n", table)
			}
			b.WriteString(strings.Join(o.tables[table], "\n") + "\n")
		}
	}
	if len(remarks) > 0 {
		b.WriteString("\n# What is not above, and why:\n#\n")
		for _, r := range remarks {
			fmt.Fprintf(&b, "# %s\n", r)
		}
	}
	return b.String()
}
