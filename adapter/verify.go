package adapter

import (
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// Modes of verify.
const (
	verifyAuto    = "auto"    // require where there is something to verify against, else record
	verifyRequire = "require" // who cannot prove to be the sender is rejected
	verifyRecord  = "record"  // everything is stored, with what was found
	verifyOff     = "off"     // nobody looks
)

// signatures counts what was found, by protocol version.
type signatures struct {
	valid   [choria.V2 + 1]atomic.Uint64
	invalid [choria.V2 + 1]atomic.Uint64
}

// verify tells how the sender was proved to have written the message or, where it is
// stored all the same, why not. An error rejects it.
func (a *Adapter) verify(m *choria.Message, received time.Time) (found string, err error) {
	if a.cfg.Verify == verifyOff {
		return verifyOff, nil
	}
	how, err := a.verifier.Verify(m, received)
	if err == nil {
		a.signatures.valid[m.Protocol].Add(1)
		return how, nil
	}
	a.signatures.invalid[m.Protocol].Add(1)
	if a.cfg.Verify == verifyRequire || a.cfg.Verify == verifyAuto && a.verifier.CanVerify() {
		return "", err
	}
	return choria.Reason(err), nil
}

// cure is what an operator may want to do about a reason to reject; empty where there is
// nothing to be said. Fleets with anonymous TLS do not sign, by design.
func (a *Adapter) cure(reason string) string {
	if reason != choria.ErrUnsigned.Error() || a.cfg.Verify != verifyAuto {
		return ""
	}
	return "where nodes do not sign by design, [adapter." + a.cfg.Name + `] verify = "record" stores their messages`
}
