package broker

import (
	"crypto/md5"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// peer is a connection that tries out its permissions.
type peer struct {
	t            *testing.T
	nc           *nats.Conn
	internalConn *nats.Conn // an internal connection, which may do everything
}

// peer connects with the options, until the test ends.
func (s *site) peer(t *testing.T, options ...nats.Option) *peer {
	t.Helper()
	nc, err := s.connect(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &peer{t, nc, internalConn(t, s.broker)}
}

// wasDenied reports whether the server has refused an action, "Publish to" or "Subscription
// to", on the subject. The server sends the error before its answer to a ping.
func (p *peer) wasDenied(action, subject string) bool {
	p.t.Helper()
	if err := p.nc.FlushTimeout(10 * time.Second); err != nil {
		p.t.Fatal(err)
	}
	err := p.nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) &&
		strings.Contains(err.Error(), fmt.Sprintf("%s %q", action, subject))
}

// publishes tries to publish. seen is whether the internal connection has received it.
func (p *peer) publishes(subject string) (seen, denied bool) {
	p.t.Helper()
	sub, err := p.internalConn.SubscribeSync(subject)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := p.internalConn.Flush(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.nc.Publish(subject, []byte("tried")); err != nil {
		p.t.Fatal(err)
	}
	denied = p.wasDenied("Publish to", subject)
	if err := p.internalConn.Flush(); err != nil {
		p.t.Fatal(err)
	}
	_, err = sub.NextMsg(time.Millisecond)
	return err == nil, denied
}

// reads tries to subscribe. got is whether a message that the internal connection publishes to the other
// subject arrives.
func (p *peer) reads(subscribe, publish string) (got, denied bool) {
	p.t.Helper()
	sub, err := p.nc.SubscribeSync(subscribe)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	denied = p.wasDenied("Subscription to", subscribe)
	if err := p.internalConn.Publish(publish, []byte("secret")); err != nil {
		p.t.Fatal(err)
	}
	for _, nc := range []*nats.Conn{p.internalConn, p.nc} { // then it is routed, and then it has arrived
		if err := nc.Flush(); err != nil {
			p.t.Fatal(err)
		}
	}
	_, err = sub.NextMsg(time.Millisecond)
	return err == nil, denied
}

func (p *peer) mustPublish(subjects ...string) {
	p.t.Helper()
	for _, subject := range subjects {
		if seen, denied := p.publishes(subject); !seen || denied {
			p.t.Errorf("cannot publish to %s (seen %v, denied %v)", subject, seen, denied)
		}
	}
}

func (p *peer) mustNotPublish(subjects ...string) {
	p.t.Helper()
	for _, subject := range subjects {
		if seen, denied := p.publishes(subject); seen || !denied {
			p.t.Errorf("can publish to %s (seen %v, denied %v)", subject, seen, denied)
		}
	}
}

// mustRead takes subscriptions, each with a subject whose messages it must receive.
func (p *peer) mustRead(subjects map[string]string) {
	p.t.Helper()
	for subscribe, publish := range subjects {
		if got, denied := p.reads(subscribe, publish); !got || denied {
			p.t.Errorf("cannot read %s (got %v, denied %v)", subscribe, got, denied)
		}
	}
}

// mustNotRead takes subscriptions, each with a subject whose messages it must not receive.
func (p *peer) mustNotRead(subjects map[string]string) {
	p.t.Helper()
	for subscribe, publish := range subjects {
		if got, denied := p.reads(subscribe, publish); got || !denied {
			p.t.Errorf("can read %s (got %v, denied %v)", subscribe, got, denied)
		}
	}
}

// hash returns the MD5 of a name, as the subject of its inbox has it.
func hash(name string) string { return fmt.Sprintf("%x", md5.Sum([]byte(name))) }

// mustBeNode tries out what every node may and may not do in the collective c.
func (p *peer) mustBeNode(c, identity string) {
	p.t.Helper()
	p.mustPublish(c+".broadcast.agent.registration", "choria.registration.cmdb",
		"choria.lifecycle.event.startup.server", "choria.machine.transition", "choria.machine.watcher.exec.state",
		c+".reply.0123456789abcdef.id", "choria.federation."+c+".collective")
	p.mustRead(map[string]string{
		c + ".broadcast.agent.discovery": c + ".broadcast.agent.discovery",
		c + ".broadcast.agent.>":         c + ".broadcast.agent.rpcutil",
		c + ".node." + identity:          c + ".node." + identity,
	})
	p.mustNotRead(map[string]string{
		">":                                 "choria.node_metadata.web2",
		"*.broadcast.agent.registration":    c + ".broadcast.agent.registration",
		c + ".broadcast.agent.registration": c + ".broadcast.agent.registration",
		"choria.registration.>":             "choria.registration.cmdb",
		"choria.node_metadata.>":            "choria.node_metadata.web2",
		c + ".node.web2.example.net":        c + ".node.web2.example.net",
		c + ".node.>":                       c + ".node.web2.example.net",
		c + ".reply.>":                      c + ".reply.x.y",
		c + ".reply." + hash("web2") + ".>": c + ".reply." + hash("web2") + ".x",
		"choria.lifecycle.>":                "choria.lifecycle.event.startup.server",
		"_INBOX.>":                          "_INBOX.x",
		"$SYS.>":                            "$SYS.x",
		"$JS.EVENT.>":                       "$JS.EVENT.x",
	})
	p.mustNotPublish("choria.node_metadata."+identity, "muster.rejected.registration.schema", "$SYS.REQ.SERVER.PING",
		"$JS.API.STREAM.DELETE.CHORIA_REGISTRATION", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.MSG.GET.CHORIA_REGISTRATION",
		"$JS.API.DIRECT.GET.CHORIA_REGISTRATION", "$JS.API.CONSUMER.CREATE.CHORIA_REGISTRATION", "$JS.API.STREAM.NAMES",
		"$KV.CHORIA_LEADER_ELECTION.x",
		c+".broadcast.agent.rpcutil", c+".node.web2.example.net", c+".broadcast.service.aaa",
		"other.broadcast.agent.discovery", "x")
	// A subscription that covers a denied subject receives the rest.
	if got, _ := p.reads(c+".broadcast.agent.>", c+".broadcast.agent.registration"); got {
		p.t.Errorf("can read registrations through %s.broadcast.agent.>", c)
	}
}
