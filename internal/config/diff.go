package config

import "strings"

// Changed returns the dotted keys whose values differ between two loads of the same table,
// in the order of Keys. A named table that only one of them has is listed as a whole.
func Changed(before, after Table) []string {
	old, current := flatten(before), flatten(after)
	var keys []string
	for _, path := range merge(old.paths, current.paths) {
		was, existed := old.texts[path]
		is, exists := current.texts[path]
		if existed == exists && was == is {
			continue
		}
		if last := len(keys) - 1; last >= 0 && strings.HasPrefix(path, keys[last]+".") {
			continue // inside a table that is listed as a whole
		}
		keys = append(keys, path)
	}
	return keys
}

// flat is a table without its structure: the paths of all tables and values, in the order
// of walk, and the text of each value; empty for a table.
type flat struct {
	paths []string
	texts map[string]string
}

func flatten(root Table) flat {
	f := flat{texts: map[string]string{}}
	add := func(path, text string) {
		f.paths = append(f.paths, path)
		f.texts[path] = text
	}
	walk("", "", root, visitor{
		table: func(path, _ string, _ Table) { add(path, "") },
		value: func(table string, key Key) {
			text := key.Value.String()
			if secret, ok := key.Value.(secretValue); ok {
				text = *secret.into // String returns the same text for every secret
			}
			add(join(table, key.Name), text)
		},
	})
	return f
}

// merge returns the paths of both lists, each once. It keeps the order of first; a path that only
// second has is inserted after its predecessor in second.
func merge(first, second []string) []string {
	known := map[string]bool{}
	for _, path := range first {
		known[path] = true
	}
	added := map[string][]string{} // by the path of the first list that they follow
	follows := ""
	for _, path := range second {
		if known[path] {
			follows = path
			continue
		}
		added[follows] = append(added[follows], path)
	}
	var all []string
	for _, path := range first {
		all = append(append(all, path), added[path]...)
	}
	return all
}

// Paths lists the dotted key of every value that a table holds, also in the tables inside it.
func Paths(table Table) []string {
	var all []string
	walk("", "", table, visitor{value: func(table string, key Key) {
		all = append(all, join(table, key.Name))
	}})
	return all
}
