package revocation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// maxKnown is how many intermediate CAs are remembered that no file names.
	maxKnown = 1024
	// maxLinks is the length of a chain of CAs that is followed.
	maxLinks = 16
)

// caID identifies a CA by its name and its key, as SHA-256: a renewed certificate is that of the
// same CA.
type caID [sha256.Size]byte

func caIDOf(c *x509.Certificate) caID {
	h := sha256.New()
	h.Write(c.RawSubject)
	h.Write(c.RawSubjectPublicKeyInfo)
	return caID(h.Sum(nil))
}

// Link says that a CA has issued a certificate with a serial number: what a CRL refers to.
type Link struct {
	issuer caID
	serial string // big-endian bytes
}

func link(c, issuer *x509.Certificate) Link { return Link{caIDOf(issuer), serialOf(c)} }

func serialOf(c *x509.Certificate) string { return string(c.SerialNumber.Bytes()) }

// list is the CRL of one CA whose signature has been verified.
type list struct {
	crl     *x509.RevocationList // without its entries, which take much memory
	ca      *x509.Certificate
	serials map[string]struct{}
}

// ended reports whether a CRL is past its nextUpdate.
func ended(crl *x509.RevocationList, now time.Time) bool {
	return !crl.NextUpdate.IsZero() && now.After(crl.NextUpdate)
}

// Lists are the CRLs in force, one of each CA at most. A nil *Lists revokes nothing. It is safe for
// concurrent use.
type Lists struct {
	issued    map[caID]Link // what a CA in the files that is not self-signed has above it
	problems  []string      // see Warnings
	unclaimed []*x509.RevocationList

	mu      sync.Mutex
	inForce map[caID]*list
	known   map[caID]*x509.Certificate // intermediate CAs that peers have presented
}

// NewLists puts CRLs in force whose signature is by one of the CAs, or by an intermediate CA that a
// peer presents later. For a CA without a usable CRL, or with an older one, that of the previous lists, which
// may be nil, stays in force. Warnings says what is wrong with the CRLs.
func NewLists(crls []*x509.RevocationList, cas []*x509.Certificate, previous *Lists, now time.Time) *Lists {
	l := &Lists{
		issued:  map[caID]Link{},
		inForce: map[caID]*list{},
		known:   map[caID]*x509.Certificate{},
	}
	before := map[caID]*list{}
	if previous != nil {
		previous.mu.Lock()
		before, l.known = maps.Clone(previous.inForce), maps.Clone(previous.known)
		previous.mu.Unlock()
	}
	l.linkAuthorities(cas)
	claimed := map[*x509.RevocationList]bool{}
	for _, ca := range slices.Concat(cas, slices.Collect(maps.Values(l.known))) {
		l.choose(ca, crls, before[caIDOf(ca)], claimed, now)
	}
	for _, crl := range crls {
		if claimed[crl] {
			continue
		}
		l.unclaimed = append(l.unclaimed, crl)
		isIssuer := func(ca *x509.Certificate) bool { return bytes.Equal(ca.RawSubject, crl.RawIssuer) }
		if slices.ContainsFunc(cas, isIssuer) {
			l.problems = append(l.problems,
				fmt.Sprintf("the CRL of %s is not signed by that CA, and does not count", crl.Issuer))
		}
	}
	return l
}

// linkAuthorities records which CAs have issued the others.
func (l *Lists) linkAuthorities(cas []*x509.Certificate) {
	for _, ca := range cas {
		for _, issuer := range cas {
			if !bytes.Equal(ca.RawSubject, ca.RawIssuer) && bytes.Equal(ca.RawIssuer, issuer.RawSubject) &&
				ca.CheckSignatureFrom(issuer) == nil {
				l.issued[caIDOf(ca)] = link(ca, issuer)
			}
		}
	}
}

// choose puts the newest of the CRLs that the CA has signed in force or, if there is no usable one or that
// one is older, the one that was in force before.
func (l *Lists) choose(
	ca *x509.Certificate, crls []*x509.RevocationList, before *list, claimed map[*x509.RevocationList]bool, now time.Time,
) {
	var newest *x509.RevocationList
	for _, crl := range crls {
		if !bytes.Equal(crl.RawIssuer, ca.RawSubject) || crl.CheckSignatureFrom(ca) != nil {
			continue
		}
		claimed[crl] = true
		if newest == nil || newer(crl, newest) {
			newest = crl
		}
	}
	id := caIDOf(ca)
	switch {
	case newest == nil && before == nil:
		if _, isKnown := l.known[id]; !isKnown { // Warnings names those
			l.problems = append(l.problems, noList(ca))
		}
	case newest == nil:
		l.inForce[id] = before
		l.problems = append(l.problems,
			fmt.Sprintf("no file has a usable CRL of %s any more; the last one stays in force", ca.Subject))
	case before != nil && newer(before.crl, newest):
		l.keep(before, newest, ca)
	case before != nil && ended(newest, now) && !ended(before.crl, now):
		l.inForce[id] = before
		l.problems = append(l.problems, fmt.Sprintf("the CRL of %s in the files ended on %s; the last one stays in force",
			ca.Subject, newest.NextUpdate.Format(time.DateOnly)))
	default:
		l.inForce[id] = newList(newest, ca)
	}
}

// keep leaves a CRL in force that has a higher number, or was made later, than the one in the files: with an
// old copy, what was revoked since would count again. If the CRL in the files was made later despite its
// lower number, it is not an old copy, and what it revokes counts too.
func (l *Lists) keep(before *list, older *x509.RevocationList, ca *x509.Certificate) {
	id := caIDOf(ca)
	if !older.ThisUpdate.After(before.crl.ThisUpdate) {
		l.inForce[id] = before
		l.problems = append(l.problems, fmt.Sprintf("the CRL of %s in the files (%s) is older than the last one (%s), "+
			"which stays in force: replace it", ca.Subject, version(older), version(before.crl)))
		return
	}
	both := newList(older, ca)
	both.crl = before.crl
	maps.Copy(both.serials, before.serials)
	l.inForce[id] = both
	l.problems = append(l.problems, fmt.Sprintf("the CRL of %s in the files (%s) has a lower number than the last one "+
		"(%s): what either revokes counts as revoked", ca.Subject, version(older), version(before.crl)))
}

// version returns the number and the time of a CRL, as text.
func version(crl *x509.RevocationList) string {
	made := crl.ThisUpdate.UTC().Format(time.RFC3339)
	if crl.Number == nil {
		return "of " + made
	}
	return fmt.Sprintf("number %s of %s", crl.Number, made)
}

func noList(ca *x509.Certificate) string {
	return fmt.Sprintf("there is no CRL of %s: no certificate of that CA counts as revoked", ca.Subject)
}

// newer reports whether a CRL is newer than another one of the same CA.
func newer(crl, than *x509.RevocationList) bool {
	if crl.Number != nil && than.Number != nil && crl.Number.Cmp(than.Number) != 0 {
		return crl.Number.Cmp(than.Number) > 0
	}
	return crl.ThisUpdate.After(than.ThisUpdate)
}

func newList(crl *x509.RevocationList, ca *x509.Certificate) *list {
	serials := make(map[string]struct{}, len(crl.RevokedCertificateEntries))
	for _, entry := range crl.RevokedCertificateEntries {
		serials[string(entry.SerialNumber.Bytes())] = struct{}{}
	}
	short := &x509.RevocationList{
		RawIssuer: bytes.Clone(crl.RawIssuer), Number: crl.Number, ThisUpdate: crl.ThisUpdate, NextUpdate: crl.NextUpdate,
	}
	return &list{short, ca, serials}
}

// Links returns the links of a verified chain, from the certificate of a peer to a CA in the files, and
// on to the CA that has issued that one. A self-signed CA is not a link.
func (l *Lists) Links(chain []*x509.Certificate) []Link {
	if l == nil {
		return nil
	}
	var links []Link
	for i, c := range chain[:len(chain)-1] {
		l.claim(chain[i+1], i+1 == len(chain)-1)
		links = append(links, link(c, chain[i+1]))
	}
	above, ok := l.issued[caIDOf(chain[len(chain)-1])]
	for ; ok && len(links) < maxLinks; above, ok = l.issued[above.issuer] {
		links = append(links, above)
	}
	return links
}

// claim looks for the CRL of an intermediate CA that is not in the files, the first time that a peer
// presents it.
func (l *Lists) claim(ca *x509.Certificate, inFiles bool) {
	if inFiles {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id := caIDOf(ca)
	if l.inForce[id] != nil || l.known[id] != nil {
		return
	}
	if len(l.known) < maxKnown {
		l.known[id] = ca
	}
	var newest *x509.RevocationList
	for _, crl := range l.unclaimed {
		if bytes.Equal(crl.RawIssuer, ca.RawSubject) && crl.CheckSignatureFrom(ca) == nil &&
			(newest == nil || newer(crl, newest)) {
			newest = crl
		}
	}
	if newest != nil {
		l.inForce[id] = newList(newest, ca)
	}
}

// Revoked reports whether a CRL in force revokes one of the links.
func (l *Lists) Revoked(links []Link) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(links, func(link Link) bool {
		list := l.inForce[link.issuer]
		if list == nil {
			return false
		}
		_, revoked := list.serials[link.serial]
		return revoked
	})
}

// Warnings returns a sentence for each CRL that is not as it should be, and for each CA without one.
func (l *Lists) Warnings(now time.Time) []string {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	warnings := slices.Clone(l.problems)
	for _, list := range l.inForce {
		if ended(list.crl, now) {
			warnings = append(warnings, fmt.Sprintf("the CRL of %s ended on %s (nextUpdate); it stays in force, but misses "+
				"what was revoked since: replace it", list.ca.Subject, list.crl.NextUpdate.Format(time.DateOnly)))
		}
	}
	for id, ca := range l.known {
		if l.inForce[id] == nil {
			warnings = append(warnings, noList(ca))
		}
	}
	slices.Sort(warnings)
	return slices.Compact(warnings)
}
