package choria

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/muster-appliance/muster/internal/revocation"
)

// Certificate is what a verified certificate proves, and until when. It does not change.
type Certificate struct {
	names      []string       // the common name and the DNS names
	key        *rsa.PublicKey // nil: another kind of key
	from, till time.Time      // valid from, and until before till
	root       digest         // the key of the CA that it leads to, see keyOf
	links      []revocation.Link
	trust      *trust // that it was verified with
}

// Expires returns when the certificate, or one that it depends on, is not valid any more.
func (c *Certificate) Expires() time.Time { return c.till }

// trust is what certificates are verified with.
type trust struct {
	roots *x509.CertPool // nil: no certificate is trusted
	keys  map[digest]bool
	lists *revocation.Lists // nil: none is revoked
}

// newTrust returns what certificates are verified with: the CAs that must have signed them, and the
// lists that may revoke them.
func newTrust(cas []*x509.Certificate, lists *revocation.Lists) *trust {
	t := &trust{lists: lists, keys: map[digest]bool{}}
	for _, ca := range cas {
		if t.roots == nil {
			t.roots = x509.NewCertPool()
		}
		t.roots.AddCert(ca)
		t.keys[keyOf(ca)] = true
	}
	return t
}

// keyOf returns a digest of a CA's name and key. A renewed certificate has the same.
func keyOf(ca *x509.Certificate) digest {
	return sha256.Sum256(slices.Concat(ca.RawSubject, ca.RawSubjectPublicKeyInfo))
}

// certificateVerifier verifies certificates, and caches the results: what a certificate proves by the
// certificate itself, so that no sender can fill the cache with variations of the text or with other
// certificates beside its own. For speed the last text of each certificate is cached too.
type certificateVerifier struct {
	trusted *atomic.Pointer[trust]
	failed  failures // by the text, and by the presented certificates

	mu       *sync.Mutex // held while verified and texts change
	verified *lru.Cache[digest, known]
	texts    *lru.Cache[digest, *Certificate]
}

// known is a verified certificate, and its key in texts.
type known struct {
	*Certificate
	text digest
}

func newCertificateVerifier() certificateVerifier {
	v := certificateVerifier{
		trusted: &atomic.Pointer[trust]{}, failed: newFailures(), mu: &sync.Mutex{},
		verified: newCache[known](cacheSize), texts: newCache[*Certificate](cacheSize),
	}
	v.trusted.Store(newTrust(nil, nil))
	return v
}

// identify returns what the first of the PEM certificates in a message proves.
func (v certificateVerifier) identify(text string, now time.Time) (*Certificate, error) {
	with := v.trusted.Load()
	key := sha256.Sum256([]byte(text))
	if c, cached := v.texts.Get(key); cached && c.counts(with, now) {
		return c, nil
	}
	if err := v.failed.get(key, now, with); err != nil {
		return nil, err
	}
	presented, err := parseChain(text)
	if err != nil {
		return nil, v.failed.add(key, err, now, with)
	}
	c, err := v.verify(presented, now)
	if err != nil {
		return nil, v.failed.add(key, err, now, with)
	}
	v.keep(sha256.Sum256(presented[0].Raw), c, key)
	return c, nil
}

// verify returns what the first certificate proves. A result is used again for the same certificate,
// whatever is presented beside it, with the same roots and lists and while it is valid.
func (v certificateVerifier) verify(presented []*x509.Certificate, now time.Time) (*Certificate, error) {
	with := v.trusted.Load()
	if err := checkCertificates(presented); err != nil {
		return nil, err
	}
	own := sha256.Sum256(presented[0].Raw)
	if k, cached := v.verified.Get(own); cached && k.counts(with, now) {
		return k.Certificate, nil
	}
	all := sha256.New()
	for _, c := range presented {
		all.Write(c.Raw)
	}
	key := digest(all.Sum(nil))
	if err := v.failed.get(key, now, with); err != nil {
		return nil, err
	}
	// If the cached chain has expired, another chain to the roots may still be valid.
	c, err := verifyChain(presented, with, now)
	if err != nil {
		return nil, v.failed.add(key, err, now, with)
	}
	v.keep(own, c, digest{})
	return c, nil
}

// keep caches a verified certificate and, unless it is zero, the key of its text, in place of the text
// that was cached before.
func (v certificateVerifier) keep(own digest, c *Certificate, text digest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if before, ok := v.verified.Peek(own); ok && before.text != text {
		if text == (digest{}) {
			text = before.text
		} else {
			v.texts.Remove(before.text)
		}
	}
	v.verified.Add(own, known{c, text})
	if text != (digest{}) {
		v.texts.Add(text, c)
	}
}

// counts reports whether the certificate need not be verified again.
func (c *Certificate) counts(with *trust, now time.Time) bool {
	return c.trust == with && !now.Before(c.from) && now.Before(c.till)
}

// check returns why a certificate that was verified before is not valid any more, or nil. It does not
// need the chain.
func (v certificateVerifier) check(c *Certificate, now time.Time) error {
	with := v.trusted.Load()
	switch {
	case c.counts(with, now):
		return nil
	case now.Before(c.from) || !now.Before(c.till):
		return fmt.Errorf("%w: the certificate of %v is valid until %s", ErrExpired, c.names, c.till.Format(time.RFC3339))
	case with.lists.Revoked(c.links):
		return errRevokedCertificate(c.names)
	case !with.keys[c.root]:
		return fmt.Errorf("%w: the CA of the certificate of %v is not trusted any more", ErrUntrusted, c.names)
	}
	return nil
}

func errRevokedCertificate(names []string) error {
	return fmt.Errorf("%w: the certificate of %v, or that of its CA", ErrRevoked, names)
}
