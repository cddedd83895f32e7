package revocation

import (
	"crypto/x509"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/authority"
)

// TestLists_OlderThanMarks starts anew with CRLs of two CAs, of which one is older than before.
func TestLists_OlderThanMarks(t *testing.T) {
	first, second := authority.New(t, now), authority.New(t, now)
	cas := []*x509.Certificate{parse(t, first.PEM()), parse(t, second.PEM())}
	long := func(c *x509.RevocationList) { c.Number = new(big.Int).Lsh(big.NewInt(1), 150) }
	oldest, old, newest := first.CRL(nil), first.CRL(nil), first.CRL(nil)
	others := second.CRL(long)
	var marks Marks
	for _, step := range []struct {
		name, crl string
		changed   bool
		warning   string
	}{
		{"the first", old, true, ""},
		{"the same", old, false, ""},
		{"older", oldest, false, "(number 1 of 2026-05-01T11:00:00Z) is older than one that was in force " +
			"(number 2 of 2026-05-01T11:00:00Z)"},
		{"newer", newest, true, ""},
		{"older again", old, false, "(number 3 of"},
	} {
		l := NewLists(crls(t, step.crl, others), cas, nil, now)
		if have := strings.Join(l.OlderThan(marks), "\n"); (have == "") != (step.warning == "") ||
			!strings.Contains(have, step.warning) {
			t.Errorf("%s: warnings %q, want %q", step.name, have, step.warning)
		}
		next, changed := l.Mark(marks)
		if changed != step.changed || len(next) != 2 {
			t.Errorf("%s: changed %v, %v", step.name, changed, next)
		}
		text, err := json.Marshal(next)
		if err != nil {
			t.Fatal(err)
		}
		if marks = nil; json.Unmarshal(text, &marks) != nil {
			t.Errorf("%s: cannot be read again: %s", step.name, text)
		}
	}
	if marks, changed := (*Lists)(nil).Mark(nil); changed || marks != nil || (*Lists)(nil).OlderThan(marks) != nil {
		t.Error("no lists have marks")
	}
}
