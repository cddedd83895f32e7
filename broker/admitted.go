package broker

import (
	"cmp"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// sweepInterval is how often proofs of connections that have ended are forgotten.
const sweepInterval = 30 * time.Second

// proof is what a connection has proved its identity with: a certificate, a token, or both; neither for an edge in a
// lab.
type proof struct {
	name, address string
	certName      string              // name in the certificate that its roles follow from; empty: a token decided
	certificate   *choria.Certificate // nil: it presented none
	claims        *choria.Claims      // nil: it presented no token
	expires       time.Time
	ended         bool // the connection was not open at the last sweep
}

// proofOf returns the proof of a connection that is admitted as a user; nil if it has proved nothing
// that expires or can be revoked.
func proofOf(c *connectionAttempt, user string) *proof {
	if c.certificate == nil && c.claims == nil {
		return nil
	}
	p := &proof{name: user, address: c.remote(), certificate: c.certificate, claims: c.claims}
	if c.certificate != nil {
		p.expires = c.certificate.Expires()
	}
	if c.claims == nil {
		p.certName = c.certName()
	}
	if c.claims != nil && (c.certificate == nil || c.claims.Expires().Before(p.expires)) {
		p.expires = c.claims.Expires()
	}
	return p
}

// check returns why the proof is not valid any more, or nil.
func (p *proof) check(verifier *choria.Verifier, now time.Time) error {
	if p.certificate != nil {
		if err := verifier.CheckCertificate(p.certificate, now); err != nil {
			return err
		}
	}
	if p.claims != nil {
		return verifier.TokenVerifier().CheckClaims(p.claims, now)
	}
	return nil
}

// admitted has the proofs of open connections, by their id. A connection that has ended stays until the
// next sweep but one: the server lists a leaf node only a moment after it was admitted.
type admitted struct {
	mu     sync.Mutex
	proofs map[uint64]*proof
	swept  time.Time
}

func (a *admitted) add(id uint64, p *proof) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proofs[id] = p
}

// peer returns the identity that an open connection has proved, and its host; both are empty if it has
// proved none.
func (a *admitted) peer(id uint64) (identity, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.proofs[id]; p != nil {
		return p.name, p.address
	}
	return "", ""
}

func (a *admitted) remove(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.proofs, id)
}

// takeInvalid removes the connections whose proof is not valid any more, and returns why. Unless all
// are to be checked, it looks only at the time at which each expires.
func (a *admitted) takeInvalid(verifier *choria.Verifier, all bool, now time.Time) map[uint64]invalid {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := map[uint64]invalid{}
	for id, p := range a.proofs {
		if !all && now.Before(p.expires) {
			continue
		}
		if err := p.check(verifier, now); err != nil {
			found[id] = invalid{p, err}
			delete(a.proofs, id)
		}
	}
	return found
}

// keep adds the proof of a connection again that is not valid but could not be ended. It is checked every time until
// the connection is ended, or is forgotten because it has already closed.
func (a *admitted) keep(id uint64, p *proof) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.expires = time.Time{}
	a.proofs[id] = p
}

// invalid is a proof, and why it is not valid any more.
type invalid struct {
	*proof
	err error
}

// byCertificate returns the connections whose roles follow from a certificate with a name for which selected
// returns true.
func (a *admitted) byCertificate(selected func(name string) bool) (ids []uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, p := range a.proofs {
		if p.certName != "" && selected(p.certName) {
			ids = append(ids, id)
		}
	}
	return ids
}

// byEdgeName returns the connections whose name in a certificate, or whose name in a token if they presented one, is
// one for which selected returns true.
func (a *admitted) byEdgeName(selected func(name string) bool) (ids []uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, p := range a.proofs {
		if selected(cmp.Or(p.certName, p.name)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// sweep forgets connections that are not open any more, every sweepInterval, and reports whether it did.
func (a *admitted) sweep(open func(id uint64) bool, now time.Time) bool {
	a.mu.Lock()
	if since := now.Sub(a.swept); since >= 0 && since < sweepInterval {
		a.mu.Unlock()
		return false
	}
	a.swept = now
	ids := make([]uint64, 0, len(a.proofs))
	for id := range a.proofs {
		ids = append(ids, id)
	}
	a.mu.Unlock()
	for _, id := range ids {
		a.sweepOne(id, open(id))
	}
	return true
}

// sweepOne forgets a connection that is not open, and was not when it was swept last.
func (a *admitted) sweepOne(id uint64, open bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.proofs[id]; p != nil && !open && p.ended {
		delete(a.proofs, id)
	} else if p != nil {
		p.ended = !open
	}
}

// endInvalid ends the connections whose certificate or token has expired or, if all are to be checked,
// was revoked or is of a CA that is not trusted any more.
func (b *Broker) endInvalid(all bool, now time.Time) {
	for id, found := range b.auth.admitted.takeInvalid(b.opts.Verifier, all, now) {
		if !b.auth.disconnect(id) { // it has already closed, or is a leaf node that the server does not list yet
			b.auth.admitted.keep(id, found.proof)
			continue
		}
		b.auth.refusals.countEnded(found.err, found.address, found.name, true)
	}
	if b.auth.admitted.sweep(b.auth.isOpen, now) {
		b.auth.identities.sweep(b.auth.isOpen)
		b.auth.provisioning.forget(b.auth.isOpen)
	}
}
