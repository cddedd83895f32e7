package config

import (
	"fmt"
	"slices"
	"testing"
)

func TestSections_ShowsTablesWhoseNamesTheFileChooses(t *testing.T) {
	var have []string
	for _, s := range Sections(newExampleTable()) {
		line := fmt.Sprintf("[%s] %s:", s.Path, s.Help)
		for _, key := range s.Keys {
			line += " " + key.Name
		}
		have = append(have, line)
	}
	want := []string{
		"[] : name kind open lit count age pause room limit topics key",
		"[phone] phone numbers: NAME",
		"[door] the entrance: width",
		"[shelf.NAME] shelves: height",
	}
	if !slices.Equal(have, want) {
		t.Errorf("have %q\nwant %q", have, want)
	}
}
