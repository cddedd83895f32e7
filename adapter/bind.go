package adapter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// Values of bind_sender.
const (
	bindAuto = "auto" // true if the broker verifies identities
	bindTrue = "true" // reject messages that arrive over a connection of another identity
)

// errWrongConnection rejects a message that arrives over a connection of another identity.
var errWrongConnection = errors.New(contract.ReasonWrongConnection)

// bindsSender reports whether a message must come over a connection of its own sender or caller.
func (a *Adapter) bindsSender() bool {
	return a.cfg.BindSender == bindTrue || a.cfg.BindSender == bindAuto && a.opts.Identities
}

// checkConnection returns errWrongConnection unless the message names the identity of the connection
// that published it: as its caller if that is a client, otherwise as its sender. There is no
// exception for administrators. What JetStream publishes is of no connection.
func (a *Adapter) checkConnection(msg *choria.Message, p inproc.Peer) error {
	if !a.bindsSender() {
		return nil
	}
	what, name := "sender", msg.Sender
	if strings.Contains(p.User, "=") { // the name of a client; nodes have no "="
		what, name = "caller", msg.Caller
	}
	switch {
	case p.User == "":
		return fmt.Errorf("%w: the %s is %q, but no node or client published it", errWrongConnection, what, name)
	case name != p.User:
		return fmt.Errorf("%w: the %s is %q, but it came over a connection of %q", errWrongConnection, what, name, p.User)
	}
	return nil
}

// reasonOf returns the one-word reason of an error that rejects a message.
func reasonOf(err error) string {
	if errors.Is(err, errWrongConnection) {
		return contract.ReasonWrongConnection
	}
	return choria.Reason(err)
}
