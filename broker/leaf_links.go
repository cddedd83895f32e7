package broker

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/nats-io/nats-server/v2/server"
)

// linkInterval is how often the links to other sites are looked at.
const linkInterval = time.Second

// Link is the state of a link to the broker of another site.
type Link struct {
	Name        string // of the peer, or of the remote in the configuration
	Remote      bool   // this broker connects; false: the other side does
	URLs        []string
	Allow       Crossing
	Connected   bool
	Since       time.Time // when it was seen to connect, or to end; zero: it was not connected since the start
	Address     string    // host of the other side; empty: it was not connected since the start
	RoundTrip   time.Duration
	Compression string
	Received    uint64 // messages of this connection
	Sent        uint64
	Error       string // why a remote is not connected
}

// links has the state of all links, by the account of each.
type links struct {
	log    hclog.Logger
	warned *throttle.Throttle // by name

	mu   sync.Mutex
	list map[string]*linkState
}

// linkState is a Link and its connection.
type linkState struct {
	Link
	id     uint64 // of the connection
	failed bool   // Error is new
}

// newLinks returns the links of a configuration, none of which is connected.
func newLinks(l *Leafnodes, log hclog.Logger) *links {
	s := &links{log: log, warned: throttle.New(refusalInterval), list: map[string]*linkState{}}
	for name, allowed := range l.Peers {
		s.list[leafAccount("peer", name)] = &linkState{Link: Link{Name: name, Allow: allowed}}
	}
	for _, r := range l.enabledRemotes() {
		s.list[leafAccount("remote", r.Name)] = &linkState{
			Link: Link{Name: r.Name, Remote: true, URLs: r.URLs, Allow: r.Allow},
		}
	}
	return s
}

// refresh compares the links with the connections of the server, and logs changes.
func (s *links) refresh(connections []*server.LeafInfo, now time.Time) {
	open := map[string]*server.LeafInfo{}
	for _, c := range connections {
		open[c.Account] = c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for account, l := range s.list {
		c := open[account]
		switch {
		case c != nil && (!l.Connected || l.id != c.ID):
			l.Connected, l.Since, l.Error, l.failed, l.id, l.Address = true, now, "", false, c.ID, c.IP
			s.log.Info("leaf node connected", "name", l.Name, "address", l.Address)
		case c == nil && l.Connected:
			l.Connected, l.Since = false, now
			s.log.Warn("leaf node disconnected", "name", l.Name, "address", l.Address)
		case c == nil && l.failed:
			l.failed = false
			if count, log := s.warned.Add(l.Name, 1, now); log {
				s.log.Warn("leaf node not connected; it is tried again", "name", l.Name, "count", count, "error", l.Error)
			}
		}
		if c != nil {
			l.RoundTrip, _ = time.ParseDuration(c.RTT)
			l.Compression, l.Received, l.Sent = c.Compression, uint64(c.InMsgs), uint64(c.OutMsgs)
		}
	}
}

// noteError records why the remote at an address, host:port, is not connected, and reports whether one may be there.
func (s *links) noteError(address, text string) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.list {
		if !l.Remote || !slices.ContainsFunc(l.URLs, func(u string) bool { return isAt(u, address) }) {
			continue
		}
		found = true
		if !l.Connected {
			l.failed, l.Error = true, text
		}
	}
	return found
}

// isAt reports whether the server of a URL may be the one at an address, host:port. A name may have any address.
func isAt(text, address string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	if u.Host == address {
		return true
	}
	_, port, err := net.SplitHostPort(address)
	return err == nil && u.Port() == port && net.ParseIP(u.Hostname()) == nil
}

// Links returns the state of all links, sorted by name: those that are accepted first.
func (b *Broker) Links() []Link {
	b.refreshLinks()
	b.links.mu.Lock()
	defer b.links.mu.Unlock()
	list := make([]Link, 0, len(b.links.list))
	for _, l := range b.links.list {
		list = append(list, l.Link)
	}
	slices.SortFunc(list, func(a, b Link) int {
		if a.Remote != b.Remote {
			return map[bool]int{false: -1, true: 1}[a.Remote]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// refreshLinks reads the server's leaf nodes.
func (b *Broker) refreshLinks() {
	if b.srv == nil {
		return
	}
	if list, err := b.srv.Leafz(nil); err == nil {
		b.links.refresh(list.Leafs, b.opts.Now())
	}
}

func (b *Broker) watchLinks() {
	ticker := time.NewTicker(linkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-b.quit:
			return
		case <-ticker.C:
			b.refreshLinks()
		}
	}
}

// disconnectLeafnodes ends the connections of leaf nodes that were accepted, and returns how many. Remotes stay: they
// would connect again, and nothing that they send is stored here.
func (b *Broker) disconnectLeafnodes() (count int, err error) {
	list, err := b.srv.Leafz(nil)
	if err != nil {
		return 0, fmt.Errorf("list leaf nodes: %w", err)
	}
	for _, c := range list.Leafs {
		if b.auth.connectionRoles.get(c.ID) == RoleLeafnode {
			_ = b.srv.DisconnectClientByID(c.ID) // an error means that it has already closed
			count++
		}
	}
	return count, nil
}
