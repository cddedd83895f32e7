package fleet

import (
	"context"
	"encoding/json"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats.go"
)

// goodbyes is where nodes say that they stop, and what else.
const goodbyes = "choria.lifecycle.event.shutdown.*"

// listen subscribes to what the broker tells of connections, and nodes of themselves. The
// broker lets no node in before.
func (f *Fleet) listen(context.Context) error {
	for _, s := range []struct {
		conn    *nats.Conn
		subject string
		take    nats.MsgHandler
	}{
		{f.system, "$SYS.ACCOUNT.*.CONNECT", f.connected},
		{f.system, "$SYS.ACCOUNT.*.DISCONNECT", f.disconnected},
		{f.conn, goodbyes, f.goodbye},
	} {
		subscription, err := s.conn.Subscribe(s.subject, s.take)
		if err != nil {
			return err
		}
		// A whole fleet may come or go at once.
		if err := subscription.SetPendingLimits(-1, -1); err != nil {
			return err
		}
		if err := s.conn.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// advisory is what the broker says of a connection. See
// https://github.com/nats-io/nats-server/blob/main/server/events.go, ConnectEventMsg and
// DisconnectEventMsg.
type advisory struct {
	Server struct {
		ID string `json:"id"`
	} `json:"server"`
	Client struct {
		ID    uint64    `json:"id"`
		Host  string    `json:"host"`
		User  string    `json:"user"`
		Name  string    `json:"name"`
		Start time.Time `json:"start"`
		Stop  time.Time `json:"stop"`
	} `json:"client"`
	Reason string `json:"reason"`
}

// inProcess is the host of connections within this process.
const inProcess = "pipe"

// name is who is connected: the identity that was proved, or in a lab what it says.
func (a *advisory) name() (name string, verified bool) {
	if a.Client.User != "" {
		return a.Client.User, true
	}
	return a.Client.Name, false
}

func (a *advisory) connection() connID { return connID{a.Server.ID, a.Client.ID} }

func (f *Fleet) readAdvisory(m *nats.Msg) (*advisory, bool) {
	a := new(advisory)
	if err := json.Unmarshal(m.Data, a); err != nil {
		f.unread.add(f.o.Log, m.Subject, err, f.o.Now())
		return nil, false
	}
	return a, a.Client.Host != inProcess
}

func (f *Fleet) connected(m *nats.Msg) {
	a, ok := f.readAdvisory(m)
	if !ok {
		return
	}
	name, verified := a.name()
	f.with(func(b *book, now time.Time) {
		b.connected(name, a.connection(), a.Client.Start.UTC(), a.Client.Host, verified, now)
	})
}

func (f *Fleet) disconnected(m *nats.Msg) {
	a, ok := f.readAdvisory(m)
	if !ok {
		return
	}
	name, _ := a.name()
	f.with(func(b *book, now time.Time) { b.disconnected(name, a.connection(), a.Client.Stop.UTC(), a.Reason, now) })
}

// goodbye takes what a node says of itself. Anybody who may publish there could say it in
// its name, so it counts only beside the end of the node's own connection.
func (f *Fleet) goodbye(m *nats.Msg) {
	identity, err := choria.LifecycleIdentity(m.Data)
	if err != nil {
		f.unread.add(f.o.Log, m.Subject, err, f.o.Now())
		return
	}
	f.with(func(b *book, now time.Time) { b.goodbye(identity, now, now) })
}
