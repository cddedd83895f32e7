package contract

import (
	"slices"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	for name, valid := range map[string]bool{
		"registration": true, "A-b_9": true, strings.Repeat("a", 64): true,
		"": false, "a.b": false, "a b": false, "*": false, "ä": false, "a\n": false, strings.Repeat("a", 65): false,
	} {
		t.Run(name, func(t *testing.T) {
			if ValidName(name) != valid {
				t.Errorf("ValidName(%q) is %v", name, !valid)
			}
		})
	}
}

func TestReasons_AreDifferentTokens(t *testing.T) {
	all := append(RejectReasons(), DropReasons()...)
	for _, reason := range all {
		if !ValidName(reason) {
			t.Errorf("%q cannot be a token of a subject", reason)
		}
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("a reason is listed twice in %v", all)
	}
}
