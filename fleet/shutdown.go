package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

const (
	// maxShutdownBytes is the largest shutdown event that is read. Choria's have about 500 bytes.
	maxShutdownBytes = 16 << 10
	// redialWait is the pause before a connection to the broker is tried again.
	redialWait = 100 * time.Millisecond
	// foreignInterval is how often ignored shutdown events are logged.
	foreignInterval = time.Minute
)

var errShutdownTooLarge = errors.New("the shutdown event has more than 16 KiB")

// followShutdowns receives the shutdown events of nodes until the fleet closes.
func (f *Fleet) followShutdowns(context.Context) error {
	c, err := f.opts.DialShutdowns(shutdownReceiver{f})
	if err != nil {
		return err
	}
	f.wg.Go(func() { f.readShutdowns(c) })
	return nil
}

// readShutdowns reads from one connection after the other. What nodes publish between two is
// missed: a node that stops in that time is shown as down.
func (f *Fleet) readShutdowns(c *inproc.Conn) {
	for c != nil {
		stop := context.AfterFunc(f.ctx, c.Close)
		err := c.Run()
		stop()
		if f.ctx.Err() != nil {
			return
		}
		f.opts.Log.Warn("connection for shutdown events ended", "error", err)
		c = f.redialShutdowns()
	}
}

// redialShutdowns dials until there is a connection; it returns nil once the fleet closes.
func (f *Fleet) redialShutdowns() *inproc.Conn {
	for {
		c, err := f.opts.DialShutdowns(shutdownReceiver{f})
		if err == nil {
			return c
		}
		select {
		case <-f.ctx.Done():
			return nil
		case <-time.After(redialWait):
		}
	}
}

// shutdownReceiver is the inproc.Receiver of shutdown events.
type shutdownReceiver struct{ f *Fleet }

// Memory returns memory for an event; nil if it is too large.
func (shutdownReceiver) Memory(size int, _ inproc.Peer) []byte {
	if size > maxShutdownBytes {
		return nil
	}
	return make([]byte, size)
}

// Receive applies a shutdown event. Shutdown events are not signed, so one counts only if it came
// over the connection of the node that it names. It has an effect only if that connection ends.
func (r shutdownReceiver) Receive(m inproc.Message) {
	identity, err := "", errShutdownTooLarge
	if m.Data != nil {
		identity, err = choria.LifecycleIdentity(m.Data)
	}
	if err != nil {
		r.f.logUnreadable(contract.SubjectShutdown, err)
		return
	}
	if name, _ := peerName(r.f.proven(m.Peer.User), m.Peer.Name); name != identity {
		r.f.ignoreShutdown(identity, name)
		return
	}
	r.f.withRegistry(func(reg *registry, now time.Time) { reg.shutdownEvent(identity, now, now) })
}

// ignoreShutdown counts a shutdown event that names a node and came over the connection of another
// name, and logs that at most once a minute.
func (f *Fleet) ignoreShutdown(node, name string) {
	f.ignored.Add(1)
	if count, log := f.foreign.Add("", 1, f.opts.Now()); log {
		f.opts.Log.Warn("shutdown event ignored", "node", node, "name", name, "count", count)
	}
}
