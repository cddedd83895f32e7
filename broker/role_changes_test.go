package broker

import (
	"testing"

	"github.com/nats-io/nats.go"
)

func TestBroker_ChangedRolesApplyToOpenConnections(t *testing.T) {
	s := openSite(t, func(c *Config) { c.Roles.Compatible = []string{"*"} })
	connected := func(name string) (*peer, chan struct{}) {
		gone := make(chan struct{})
		p := s.peer(t, s.certificate(name), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
		p.mustPublish("cmdb.registration." + name)
		return p, gone
	}
	_, webGone := connected("web1")
	db, dbGone := connected("db1")
	admin, adminGone := connected("root.example.net")
	roles := s.broker.cfg.Roles
	roles.Compatible = []string{"db*"}
	s.broker.Reload(roles)
	<-webGone
	s.peer(t, s.certificate("web1")).mustNotPublish("cmdb.registration.web1")
	db.mustPublish("cmdb.registration.db1")
	admin.mustPublish("x")
	for _, gone := range []chan struct{}{dbGone, adminGone} {
		select {
		case <-gone:
			t.Error("a connection was ended although its roles are the same")
		default:
		}
	}
}
