package adapter

import (
	"errors"
	"testing"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
)

func TestAdapter_BindsMessagesToConnections(t *testing.T) {
	registration := choria.Message{Sender: "web1", Caller: "choria=web1"}
	request := choria.Message{Sender: "laptop", Caller: "choria=rip"}
	reply := choria.Message{Sender: "web1", Reply: true}
	for _, test := range []struct {
		name string
		msg  choria.Message
		user string
		ok   bool
	}{
		{"own registration", registration, "web1", true},
		{"registration over another node's connection", registration, "web2", false},
		{"registration over a client's connection", registration, "choria=rip", false},
		{"registration over an administrator's connection", registration, "admin", false},
		{"registration that no connection published", registration, "", false},
		{"registration whose caller is the node", choria.Message{Sender: "web2", Caller: "choria=web1"}, "web1", false},
		{"own request", request, "choria=rip", true},
		{"request over another client's connection", request, "choria=eve", false},
		{"request over a node's connection", request, "web1", false},
		{"own reply", reply, "web1", true},
		{"reply over another node's connection", reply, "web2", false},
		{"reply over a client's connection", reply, "choria=rip", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, mode := range []struct {
				bind       string
				identities bool
				checks     bool
			}{
				{bindAuto, true, true}, {bindAuto, false, false}, {bindTrue, true, true}, {"false", true, false},
			} {
				cfg := DefaultConfig()
				cfg.BindSender = mode.bind
				a := New(*cfg, Options{Identities: mode.identities})
				err := a.checkConnection(&test.msg, inproc.Peer{ID: 1, User: test.user, Name: test.msg.Sender})
				if want := test.ok || !mode.checks; want != (err == nil) || err != nil && !errors.Is(err, errWrongConnection) {
					t.Errorf("bind_sender = %s, identities %v: %v", mode.bind, mode.identities, err)
				}
			}
		})
	}
}

func TestAdapter_IgnoresTheUserOfALab(t *testing.T) {
	peer := inproc.Peer{ID: 1, User: "chosen", Name: "web1"}
	cfg := DefaultConfig()
	if got := New(*cfg, Options{}).peer(peer); got != (inproc.Peer{ID: 1, Name: "web1"}) {
		t.Errorf("%+v", got)
	}
	if got := New(*cfg, Options{Identities: true}).peer(peer); got != peer {
		t.Errorf("%+v", got)
	}
}
