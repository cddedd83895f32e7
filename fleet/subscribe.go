package fleet

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unique"

	"github.com/nats-io/nats.go"
)

// subscribe subscribes to the connect and disconnect events of the broker. They share a subscription,
// so that their order is kept.
func (f *Fleet) subscribe(context.Context) error {
	subscription, err := f.system.Subscribe("$SYS.ACCOUNT.*.*", f.handleConnection)
	if err != nil {
		return err
	}
	// No limit: all nodes of a fleet may connect or disconnect at once.
	if err := subscription.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return f.system.Flush()
}

// connectionEvent is a connect or disconnect event of the broker. See ConnectEventMsg and
// DisconnectEventMsg in https://github.com/nats-io/nats-server/blob/main/server/events.go.
type connectionEvent struct {
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

// inProcessHost is the host of a connection from within this process. Some events about one have
// no host.
const inProcessHost = "pipe"

// name returns the proven identity of the connection; in a lab, where nothing is proven, the name
// that the connection gave itself.
func (e *connectionEvent) name() (name string, verified bool) {
	return peerName(e.Client.User, e.Client.Name)
}

func peerName(user, name string) (peer string, verified bool) {
	if user != "" {
		return user, true
	}
	return name, false
}

// proven returns the user of a connection, or nothing in a lab: there a connection can choose its user. Only edges
// are known by it there.
func (f *Fleet) proven(user string) string {
	if !f.opts.Identities && !f.isEdge(user) {
		return ""
	}
	return user
}

// id returns the id of the connection. All share the memory of the server's.
func (e *connectionEvent) id() connID { return connID{unique.Make(e.Server.ID).Value(), e.Client.ID} }

// parseConnectionEvent parses an event; ok is false if it cannot be read or is about a
// connection from within this process.
func (f *Fleet) parseConnectionEvent(m *nats.Msg) (e *connectionEvent, ok bool) {
	e = new(connectionEvent)
	if err := json.Unmarshal(m.Data, e); err != nil {
		f.logUnreadable(m.Subject, err)
		return nil, false
	}
	e.Client.User = f.proven(e.Client.User)
	return e, e.Client.Host != "" && e.Client.Host != inProcessHost
}

// handleConnection applies a connect or disconnect event.
func (f *Fleet) handleConnection(m *nats.Msg) {
	switch m.Subject[strings.LastIndexByte(m.Subject, '.')+1:] {
	case "CONNECT":
		f.handleConnect(m)
	case "DISCONNECT":
		f.handleDisconnect(m)
	}
}

func (f *Fleet) handleConnect(m *nats.Msg) {
	e, ok := f.parseConnectionEvent(m)
	if !ok {
		return
	}
	f.withRegistry(func(r *registry, now time.Time) {
		r.began(&Conn{
			Server: e.id().server, ID: e.Client.ID, User: e.Client.User, Name: e.Client.Name, Address: e.Client.Host,
			Kind: f.opts.KindOf(e.Client.ID), Began: e.Client.Start,
		}, now)
	})
}

func (f *Fleet) handleDisconnect(m *nats.Msg) {
	e, ok := f.parseConnectionEvent(m)
	if !ok {
		return
	}
	name, _ := e.name()
	f.withRegistry(func(r *registry, now time.Time) {
		r.disconnected(name, e.id(), e.Client.Stop.UTC(), e.Reason, now)
	})
}
