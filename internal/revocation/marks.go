package revocation

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"
)

// Mark says which CRL of a CA was in force.
type Mark struct {
	CA         string    `json:"ca"` // its name, for people
	Number     *big.Int  `json:"number,omitempty"`
	ThisUpdate time.Time `json:"this_update"`
}

// Marks has the newest CRL of each CA that was in force, also before a restart. The key is the id of the CA.
type Marks map[string]Mark

func (m Mark) crl() *x509.RevocationList {
	return &x509.RevocationList{Number: m.Number, ThisUpdate: m.ThisUpdate}
}

// Mark returns the marks with those of the CRLs in force that are newer, and whether there are any.
func (l *Lists) Mark(marks Marks) (all Marks, changed bool) {
	if l == nil {
		return marks, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all = maps.Clone(marks)
	for id, list := range l.inForce {
		key := hex.EncodeToString(id[:])
		if mark, marked := all[key]; marked && !newer(list.crl, mark.crl()) {
			continue
		}
		if all == nil {
			all = Marks{}
		}
		all[key], changed = Mark{list.ca.Subject.String(), list.crl.Number, list.crl.ThisUpdate}, true
	}
	return all, changed
}

// OlderThan returns a sentence for each CRL in force that is older than the marks say.
func (l *Lists) OlderThan(marks Marks) []string {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var warnings []string
	for id, list := range l.inForce {
		mark, marked := marks[hex.EncodeToString(id[:])]
		if marked && newer(mark.crl(), list.crl) {
			warnings = append(warnings, fmt.Sprintf("the CRL of %s (%s) is older than one that was in force (%s): "+
				"certificates that were revoked since may count as valid, replace it",
				list.ca.Subject, version(list.crl), version(mark.crl())))
		}
	}
	slices.Sort(warnings)
	return warnings
}
