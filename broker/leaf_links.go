package broker

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	// linkInterval is how often the state of links is read.
	linkInterval = time.Second
	// After a second connection of a leaf node was admitted, the state is read settleTries times after a settleInterval
	// each, so that both are open for a moment only.
	settleInterval = 20 * time.Millisecond
	settleTries    = 50
)

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
	Error       string // why it is not connected
}

// links has the state of all links, by the account of each.
type links struct {
	log    hclog.Logger
	warned *throttle.Throttle // by name

	replaced chan struct{} // has an element after replace, until watchLinks has read it

	mu   sync.Mutex
	list map[string]*linkState
}

// linkState is a Link and its connection.
type linkState struct {
	Link
	id      uint64 // of the connection
	newest  uint64 // id of the connection that was admitted last; 0: none, or a remote
	attempt uint64 // id of the connection to a remote that was made last, also if it failed; 0: none
	failed  bool   // Error is new
	cause   uint64 // connection to which Error belongs; 0: none was made
}

// newLinks returns the links of a configuration, none of which is connected.
func newLinks(l *Leafnodes, log hclog.Logger) *links {
	s := &links{
		log: log, warned: throttle.New(refusalInterval), replaced: make(chan struct{}, 1), list: map[string]*linkState{},
	}
	for name, allowed := range l.Peers {
		s.list[leafAccount("peer", name)] = &linkState{Link: Link{Name: name, Allow: allowed}}
	}
	for _, r := range l.EnabledRemotes() {
		s.list[leafAccount("remote", r.Name)] = &linkState{
			Link: Link{Name: r.Name, Remote: true, URLs: r.urls(), Allow: r.Allow},
		}
	}
	return s
}

// replace makes a connection that is admitted the newest one of a link, and returns the one before, or 0.
func (s *links) replace(account string, id uint64) (before uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.list[account]
	if l == nil {
		return 0
	}
	before, l.newest = l.newest, id
	if before != 0 {
		select {
		case s.replaced <- struct{}{}:
		default:
		}
	}
	return before
}

// logReplaced logs that a leaf node has replaced its open connection.
func (s *links) logReplaced(account string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.list[account].Name
	if count, log := s.warned.Add("replaced "+name, 1, now); log {
		s.log.Warn("leaf node connected again, its other connection was ended", "name", name, "count", count)
	}
}

// newest returns the connection of each account, and the others: those that a newer one has replaced.
func (s *links) newest(connections []*server.LeafInfo) (open map[string]*server.LeafInfo, old []*server.LeafInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open = map[string]*server.LeafInfo{}
	for _, c := range connections {
		l := s.list[c.Account]
		replaced := l != nil && l.newest != 0 && l.newest != c.ID
		if replaced {
			old = append(old, c)
		}
		if open[c.Account] == nil || !replaced {
			open[c.Account] = c
		}
	}
	return open, old
}

// refresh compares the links with the connections of the server, by account, and logs changes.
func (s *links) refresh(open map[string]*server.LeafInfo, now time.Time) {
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
			s.log.Warn("leaf node disconnected", "name", l.Name, "address", l.Address, "error", l.Error)
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

// noteAttempt records that a connection to the remote of an account is being made.
func (s *links) noteAttempt(account string, id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.list[account]; l != nil && l.Remote {
		l.attempt = id
	}
}

// noteError records what is wrong with a connection, and reports whether it is to a remote.
func (s *links) noteError(id uint64, text string) (found bool) {
	return s.noteErrorOf(func(l *linkState) bool { return l.attempt == id }, id, text)
}

// noteDialError records why the host of a remote cannot be reached, and reports whether a remote has it.
func (s *links) noteDialError(host, text string) (found bool) {
	return s.noteErrorOf(func(l *linkState) bool {
		return slices.ContainsFunc(l.URLs, func(u string) bool { return isAt(u, host) })
	}, 0, text)
}

// noteErrorOf records why the selected remotes are not connected, and reports whether there are any. id is that of the
// connection, or 0 if none was made.
func (s *links) noteErrorOf(selected func(*linkState) bool, id uint64, text string) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.list {
		if !l.Remote || !selected(l) {
			continue
		}
		found = true
		if !l.Connected {
			l.failed, l.Error, l.cause = true, text, id
		}
	}
	return found
}

// otherSideEnded is why a link is not connected if only the other side has the reason: with TLS 1.3, it refuses a
// certificate after the handshake.
const otherSideEnded = "the other side ended or refused the connection; its log and muster rejected there say why"

// noteClosed records why a connection ended, unless its error is known.
func (s *links) noteClosed(id uint64, reason server.ClosedState) {
	text := reason.String()
	switch reason {
	case server.ClientClosed, server.ReadError, server.WriteError:
		text = otherSideEnded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.list {
		switch {
		case l.Connected && l.id == id:
			l.Error, l.cause = text, id
		case !l.Connected && l.Remote && l.attempt == id && l.cause != id:
			l.failed, l.Error, l.cause = true, text, id
		}
	}
}

// isAt reports whether a URL has the host and port.
func isAt(text, host string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host == host
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

// refreshLinks reads the server's leaf nodes, and ends those that a newer connection has replaced.
func (b *Broker) refreshLinks() {
	if b.srv == nil {
		return
	}
	list, err := b.srv.Leafz(nil)
	if err != nil {
		return
	}
	now := b.opts.Now()
	open, replaced := b.links.newest(list.Leafs)
	b.links.refresh(open, now)
	for _, c := range replaced {
		if b.auth.disconnect(c.ID) {
			b.links.logReplaced(c.Account, now)
		}
	}
}

func (b *Broker) watchLinks() {
	ticker := time.NewTicker(linkInterval)
	defer ticker.Stop()
	for left := 0; ; {
		select {
		case <-b.quit:
			return
		case <-b.links.replaced:
			left = settleTries
			ticker.Reset(settleInterval)
		case <-ticker.C:
			b.refreshLinks()
			if left--; left == 0 {
				ticker.Reset(linkInterval)
			}
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
