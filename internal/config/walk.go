package config

// visitor holds what walk calls. A nil function is not called.
type visitor struct {
	// table is called for each table, before its keys; help is that of the table's key.
	table func(path, help string, t Table)
	// value is called for each key that is not a table. table is the path of its table.
	value func(table string, key Key)

	// template makes walk describe what a file may hold instead of what the tables hold:
	// it visits one new table NAME in place of the existing named tables. It adds that
	// table to the map of the named tables.
	template bool
}

// walk visits a table and the tables in it, in the order of Keys; named tables in the order
// of their names. Keys that are not used here (UnusedKey) are left out. It is the only place that
// knows which kinds of Value hold tables.
func walk(path, help string, table Table, v visitor) {
	if v.table != nil {
		v.table(path, help, table)
	}
	for _, key := range table.Keys() {
		at := join(path, key.Name)
		switch value := key.Value.(type) {
		case tableValue:
			walk(at, key.Help, value.Table, v)
		case namedValue:
			if v.template {
				walk(join(at, templateName), key.Help, value.open(templateName), v)
				continue
			}
			for name, entry := range value.each() {
				walk(join(at, name), key.Help, entry, v)
			}
		case unusedKey:
		default:
			if v.value != nil {
				v.value(path, key)
			}
		}
	}
}
