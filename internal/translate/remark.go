// Package translate has what the translations of other programs' configurations have in common: remarks about settings,
// and the text of an appliance.toml. It reads and writes no files.
package translate

import (
	"strings"
	"unicode"
)

// Class says how much a remark matters; a higher one matters more.
type Class int

// Classes of remarks.
const (
	Note    Class = iota // the operator may want to know
	Caution              // the setting does not do what its name suggests, or the file must be changed
	Loss                 // what the setting does for nodes, clients or other programs stops working
)

// Remark informs the operator about a setting that was not imported or needs attention.
type Remark struct {
	Key    string
	Value  string // empty if the key is not set
	Reason string // a clause in lower case, without a period
	Class  Class
}

// String returns the remark as one line.
func (r Remark) String() string {
	text := r.Key
	if r.Value != "" {
		text += " = " + r.Value
	}
	switch r.Class {
	case Loss:
		text = "LOSS " + text
	case Caution:
		text = "CAUTION " + text
	case Note:
	}
	return Printable(text + ": " + r.Reason)
}

// Printable returns the text with control characters and invalid UTF-8 replaced: safe for a terminal
// and valid in a TOML comment.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
