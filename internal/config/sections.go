package config

// templateName stands for a name that the file chooses.
const templateName = "NAME"

// Section is a table as the manual shows it.
type Section struct {
	Path string // as between brackets; NAME where the file chooses a name
	Help string
	Keys []Key // only the keys that are not tables
}

// Sections lists the tables of a root table for the manual, each before the tables in it. The
// keys of the root are in the first section, whose path is empty. Sections adds a table NAME
// to each map of named tables, so do not use the root table for anything else.
func Sections(root Table) []Section {
	var all []Section
	byPath := map[string]int{}
	add := func(s Section) {
		byPath[s.Path] = len(all)
		all = append(all, s)
	}
	walk("", "", root, visitor{
		template: true,
		table:    func(path, help string, _ Table) { add(Section{Path: path, Help: help}) },
		value: func(table string, key Key) {
			if _, ok := key.Value.(interface{ pairs() }); ok {
				entry := Key{Name: templateName, Value: String(new(string)), Help: key.Help}
				add(Section{Path: join(table, key.Name), Help: key.Help, Keys: []Key{entry}})
				return
			}
			s := &all[byPath[table]]
			s.Keys = append(s.Keys, key)
		},
	})
	return all
}
