package simnode

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

const (
	// disconnectInterval is the average time between two disconnects.
	disconnectInterval = 2 * time.Second
	// minOutage and maxOutage bound the time until a disconnected node connects again.
	minOutage = 15 * time.Second
	maxOutage = 60 * time.Second
)

// DisconnectAtRandom disconnects random nodes, and connects them again later, until the context is
// done. Half of them publish a shutdown event first, as a server that is stopped does.
func (s *Nodes) DisconnectAtRandom(ctx context.Context) {
	reconnect := map[*connectedNode]time.Time{} // when
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(disconnectInterval/2 + rand.N(disconnectInterval)):
		}
		for n, when := range reconnect {
			if time.Now().After(when) && s.connect(n) == nil {
				delete(reconnect, n)
			}
		}
		n := s.nodes[rand.IntN(len(s.nodes))]
		if _, away := reconnect[n]; !away && n.disconnect(rand.IntN(2) == 0) == nil {
			reconnect[n] = time.Now().Add(minOutage + rand.N(maxOutage-minOutage))
		}
	}
}

// disconnect closes the node's connection once the broker has read what the node published.
func (n *connectedNode) disconnect(shutdownEvent bool) error {
	if shutdownEvent {
		if err := n.publishShutdown(); err != nil {
			return err
		}
	}
	if err := n.flush(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conn.Close()
	n.conn = nil
	return nil
}

// publishShutdown publishes the lifecycle event of a server that is stopped.
func (n *connectedNode) publishShutdown() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	event, err := choria.EncodeShutdown(n.Identity, uuid(), time.Now())
	if err != nil {
		return err
	}
	return n.conn.Publish(choria.ShutdownSubject, event)
}
