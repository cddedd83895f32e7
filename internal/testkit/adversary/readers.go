package adversary

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"

	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/deaf"
	"github.com/nats-io/nats.go"
)

const (
	// inboxReaders is how many connections do not read the inbox at the same time: as many as an identity
	// may have in 512 MiB, but for two that publish.
	inboxReaders = 6
	// inboxRounds is how often these connections are made anew.
	inboxRounds = 8
	// inboxMessage is the size of a message to the inbox, in bytes.
	inboxMessage = 64 << 10
)

// floodInbox publishes to the node's inbox, to which connections of the same node subscribe that read
// nothing. Then they close their side, and others follow.
func (a *Adversary) floodInbox(ctx context.Context) (n int, err error) {
	sum := md5.Sum([]byte(Name))
	inbox := simnode.Collective + ".reply." + hex.EncodeToString(sum[:]) + "."
	message := on(inbox+"x", make([]byte, inboxMessage))
	for range inboxRounds {
		for range inboxReaders {
			if failed := a.deafReader(inbox + ">"); failed != nil {
				err = failed
			}
		}
		for range a.o.Flood / 25 {
			if ctx.Err() != nil {
				return n, err
			}
			nc, failed := a.connection("node", a.node)
			if failed != nil {
				return n, errors.Join(err, failed)
			}
			published, failed := publish(nc, []*nats.Msg{message, message, message, message})
			if n += published; failed != nil {
				err = failed
			}
		}
		for _, c := range a.deaf {
			_ = c.CloseWrite()
		}
		a.deaf = nil
	}
	return n, err
}

// deafReader subscribes to the subject over a connection of its own that reads nothing from then on.
func (a *Adversary) deafReader(subject string) error {
	d := &deaf.Dialer{}
	options := append(a.node.Options(Name, a.o.Site.Roots()), quiet()...)
	nc, err := nats.Connect("nats://"+a.broker, append(options, nats.SetCustomDialer(d))...)
	if err != nil {
		return err
	}
	a.hold(d.Conn)
	a.deaf = append(a.deaf, d.Conn)
	if _, err = nc.Subscribe(subject, func(*nats.Msg) {}); err == nil {
		err = nc.FlushTimeout(dialTimeout)
	}
	d.Stop()
	return err
}
