package adapter

import (
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
)

// Modes of verify.
const (
	verifyAuto    = "auto"    // require if there is a CA, an issuer or a signer to trust, else record
	verifyRequire = "require" // reject messages whose sender is not verified
	verifyRecord  = "record"  // store every message, with what was found
	verifyOff     = "off"     // check nothing
)

// signatures counts valid and invalid signatures by protocol version. It is safe for concurrent
// use.
type signatures struct {
	valid   [choria.V2 + 1]atomic.Uint64
	invalid [choria.V2 + 1]atomic.Uint64
}

// verify checks whether the sender wrote the message. verification is the value of the header
// Muster-Verified: how the sender was verified or, if the message is stored anyway, why it was
// not. An error rejects the message.
func (a *Adapter) verify(msg *choria.Message, received time.Time) (verification string, err error) {
	if a.cfg.Verify == verifyOff {
		return verifyOff, nil
	}
	how, err := a.opts.Verifier.Verify(msg, received)
	if err == nil {
		a.signatures.valid[msg.Protocol].Add(1)
		return how, nil
	}
	a.signatures.invalid[msg.Protocol].Add(1)
	if a.cfg.Verify == verifyRequire || a.cfg.Verify == verifyAuto && a.opts.Verifier.CanVerify() {
		return "", err
	}
	return choria.Reason(err), nil
}

// isVerified reports whether a value of the header Muster-Verified says that the sender was verified.
func isVerified(verification string) bool {
	return verification == choria.VerifiedX509 || verification == choria.VerifiedJWT
}

// wrongIdentityHint is for a node whose identity is not the name in its certificate or token.
const wrongIdentityHint = "set identity in the node's server.conf to the name in its certificate or token, " +
	"or enroll it with its identity"

// hintFor returns what an operator may want to do about messages rejected for a reason; it may be
// empty. Nodes with anonymous TLS do not sign, by design.
func (a *Adapter) hintFor(reason string) string {
	table := "[adapter." + a.cfg.Name + "] "
	switch {
	case reason == contract.ReasonUnsigned && a.cfg.Verify == verifyAuto:
		return "if nodes do not sign by design, set " + table + `verify = "record" to store their messages`
	case reason == contract.ReasonWrongConnection && a.cfg.BindSender == bindAuto:
		return wrongIdentityHint + "; if a broker or a program relays the messages of nodes, set " + table +
			"bind_sender = false to accept them"
	case reason == contract.ReasonWrongConnection || reason == contract.ReasonWrongName:
		return wrongIdentityHint
	default:
		return ""
	}
}
