package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

// siteLoad is what happens at an edge: nodes that register, and messages of other programs.
type siteLoad struct {
	t      *testing.T
	nc     *nats.Conn // of the other programs
	nodes  *simnode.Nodes
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// loadOptions say how much happens at an edge.
type loadOptions struct {
	nodes    int
	interval time.Duration // between two registrations of a node, and between two other messages
}

// startLoad connects nodes and programs to an edge. They connect again when it is started again.
func startLoad(t *testing.T, e *edge, o loadOptions) *siteLoad {
	t.Helper()
	l := &siteLoad{t: t}
	var err error
	l.nodes, err = simnode.NewNodes("nats://"+e.address, o.nodes, simnode.NodeOptions{
		Protocol: choria.V1, Size: 2 << 10,
	}, o.interval)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	if err := l.nodes.Connect(ctx, func() {}); err != nil {
		t.Fatal(err)
	}
	l.nc, err = nats.Connect(e.address, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	l.wg.Go(func() { _ = l.nodes.Register(ctx) }) // an error means that the edge is not running, as scheduled
	l.wg.Go(func() { l.publish(ctx, o.interval) })
	t.Cleanup(func() { l.stop(); l.nodes.Close(); l.nc.Close() })
	return l
}

// stop ends the load. The nodes stay connected.
func (l *siteLoad) stop() {
	l.cancel()
	l.wg.Wait()
}

// publish publishes messages of all forms until ctx is done.
func (l *siteLoad) publish(ctx context.Context, interval time.Duration) {
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval / 4):
		}
		_ = l.nc.PublishMsg(appMessage(n)) // one that is not stored is not recorded either
	}
}

// sharedSubject begins the subjects that several senders use.
const sharedSubject = "app.event"

// appMessage returns a message of a program: with and without an id, a body, and an identity.
func appMessage(n int) *nats.Msg {
	m := &nats.Msg{Subject: fmt.Sprintf("app.%d", n%3), Data: make([]byte, rand.N(4000)), Header: nats.Header{}}
	for i := range m.Data {
		m.Data[i] = byte(rand.Uint32())
	}
	switch n % 5 {
	case 0:
		m.Header.Set(contract.HeaderMsgID, fmt.Sprintf("app-%d", rand.Uint64()))
	case 1:
		m.Header = nats.Header{"lower": {"a", "b"}, "Empty": {""}, "Nats-Expected-Stream": {"APP"}}
	case 2: // several senders with two subjects
		m.Subject = fmt.Sprintf("%s%d", sharedSubject, rand.N(2))
		m.Data = fmt.Appendf(nil, `{"identity":"web%d","n":%d}`, rand.N(4), n)
	case 3:
		m.Subject, m.Data = "app.empty", nil
	case 4:
		m.Header.Set(contract.HeaderSource, "X 1 fra 0 0")
	}
	return m
}

// publishOversize publishes a message that the edge stores and the hub does not: it exceeds max_msg_size there.
func (l *siteLoad) publishOversize(n int) {
	_ = l.nc.Publish(fmt.Sprintf("app.large.%d", n), bytes.Repeat([]byte{byte(n)}, 40<<10))
}

// publishPoison publishes a message that says that it was at this site before.
func (l *siteLoad) publishPoison(site string, n int) {
	m := &nats.Msg{Subject: fmt.Sprintf("app.poison.%d", n), Header: nats.Header{contract.HeaderVia: {site}}}
	_ = l.nc.PublishMsg(m)
}

// settled returns why the hub does not have everything yet, or has another view than an edge.
func (s *sites) settled() error {
	if missing := s.check().Missing(); len(missing) > 0 {
		return fmt.Errorf("%d messages are missing at the hub, such as %s", len(missing), missing[0].ID())
	}
	for _, e := range s.edges {
		if err := balanced(e); err != nil {
			return err
		}
		have, err := s.hub.view(e.site)
		want, otherErr := e.view(e.site)
		if err := errors.Join(err, otherErr); err != nil {
			return err
		}
		if !maps.Equal(have, want) {
			return fmt.Errorf("the nodes of %s are %v at the hub, %v at the edge", e.site, have, want)
		}
	}
	return nil
}

// view returns the states of the nodes of a site, as a member has them.
func (m *member) view(site string) (map[string]fleet.State, error) {
	var page fleet.Page
	err := m.get("/api/v1/nodes?limit=1000&site="+site, &page)
	states := map[string]fleet.State{}
	for _, n := range page.Nodes {
		states[n.Name] = n.State
	}
	return states, err
}

// get decodes an answer of the console.
func (m *member) get(path string, into any) error {
	response, err := http.Get(m.process.console + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

// balanced returns an error if the ledgers of an edge do not add up, or messages are pending.
func balanced(e *edge) error {
	var answer console.Forward
	if err := e.get("/api/v1/forward", &answer); err != nil {
		return err
	}
	if len(answer.Hubs) != 1 {
		return fmt.Errorf("%s forwards to %d hubs", e.site, len(answer.Hubs))
	}
	for name, l := range answer.Hubs[0].Streams {
		outcomes := l.Forwarded + l.Duplicate + l.Unchanged + l.Sampled + l.Superseded + l.Rejected + l.Pending
		switch {
		case l.Read != outcomes:
			return fmt.Errorf("the ledger of %s of %s does not add up: %+v", name, e.site, l)
		case l.Pending > 0 || l.Unread > 0 || l.Position != l.Last:
			return fmt.Errorf("messages of %s of %s are pending: %+v", name, e.site, l)
		}
	}
	return nil
}
