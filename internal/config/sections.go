package config

// Section is a table as a manual shows it.
type Section struct {
	Path string // as between brackets; NAME where the file chooses a name
	Help string
	Keys []Key // values alone
}

// Sections lists the tables of a root table that nobody else uses: to show what a table has whose
// name the file chooses, one is made. The root's own keys come first, in a section without a path.
func Sections(root Table) []Section { return sections(Section{}, root) }

func sections(of Section, table Table) []Section {
	var below []Section
	for _, key := range table.Keys() {
		path := join(of.Path, key.Name)
		switch v := key.Value.(type) {
		case tableValue:
			below = append(below, sections(Section{Path: path, Help: key.Help}, v.Table)...)
		case namedValue:
			path = join(path, "NAME")
			below = append(below, sections(Section{Path: path, Help: key.Help}, v.open("NAME"))...)
		case pairsValue:
			below = append(below, Section{Path: path, Help: key.Help, Keys: []Key{{Name: "NAME", Value: stringValue{new(string)}, Help: key.Help}}})
		case goneValue:
		default:
			of.Keys = append(of.Keys, key)
		}
	}
	return append([]Section{of}, below...)
}
