package config

// Changed lists the dotted keys whose values differ between two loads of the same table.
func Changed(before, after Table) []string {
	return changed("", before, after)
}

func changed(path string, before, after Table) []string {
	var keys []string
	now := after.Keys()
	for i, key := range before.Keys() {
		name := join(path, key.Name)
		switch old := key.Value.(type) {
		case tableValue:
			keys = append(keys, changed(name, old.Table, now[i].Value.(tableValue).Table)...)
		case namedValue:
			keys = append(keys, changedNamed(name, old, now[i].Value.(namedValue))...)
		case secretValue: // whose text is the same for every secret
			if *old.into != *now[i].Value.(secretValue).into {
				keys = append(keys, name)
			}
		default:
			if old.String() != now[i].Value.String() {
				keys = append(keys, name)
			}
		}
	}
	return keys
}

func changedNamed(path string, before, after namedValue) []string {
	var keys []string
	entries := map[string]Table{}
	for name, entry := range after.each() {
		entries[name] = entry
	}
	for name, old := range before.each() {
		entry, still := entries[name]
		delete(entries, name)
		if !still {
			keys = append(keys, join(path, name))
			continue
		}
		keys = append(keys, changed(join(path, name), old, entry)...)
	}
	for name := range after.each() {
		if _, isNew := entries[name]; isNew {
			keys = append(keys, join(path, name))
		}
	}
	return keys
}

// Paths lists the dotted key of every value that a table holds, also in the tables inside it.
func Paths(table Table) []string { return paths("", table) }

func paths(path string, table Table) []string {
	var all []string
	for _, key := range table.Keys() {
		name := join(path, key.Name)
		switch v := key.Value.(type) {
		case tableValue:
			all = append(all, paths(name, v.Table)...)
		case namedValue:
			for entry, sub := range v.each() {
				all = append(all, paths(join(name, entry), sub)...)
			}
		case goneValue:
		default:
			all = append(all, name)
		}
	}
	return all
}
