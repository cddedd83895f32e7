package privatestream

import (
	"strconv"
	"sync"

	"github.com/muster-appliance/muster/internal/inproc"
)

// peerCounts counts the requests of each identity that are not answered yet.
type peerCounts struct {
	mu     sync.Mutex
	counts map[string]int
}

// add counts a request, or returns false if the identity has so many already.
func (p *peerCounts) add(identity string, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts[identity] >= most {
		return false
	}
	if p.counts == nil {
		p.counts = map[string]int{}
	}
	p.counts[identity]++
	return true
}

func (p *peerCounts) remove(identity string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts[identity]--; p.counts[identity] <= 0 {
		delete(p.counts, identity)
	}
}

// peerOf returns the identity that a request counts for; empty: that of an administrator or the appliance.
func (s *Service) peerOf(m inproc.Message) string {
	switch {
	case s.opts.IsAdmin(m.Peer.ID):
		return ""
	case m.Peer.User == "":
		return strconv.FormatUint(m.Peer.ID, 10)
	default:
		return m.Peer.User
	}
}

// enter counts a request, or returns false if too many of its identity wait.
func (s *Service) enter(m inproc.Message) bool {
	if peer := s.peerOf(m); peer != "" && !s.peers.add(peer, maxOfPeer) {
		return false
	}
	s.waiting.Add(int64(m.Size))
	return true
}

// leave ends the counting of a request.
func (s *Service) leave(m inproc.Message) {
	if peer := s.peerOf(m); peer != "" {
		s.peers.remove(peer)
	}
	s.waiting.Add(-int64(m.Size))
}
