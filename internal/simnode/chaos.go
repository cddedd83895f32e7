package simnode

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

const (
	// chaosInterval is the average time between two disconnects.
	chaosInterval = 2 * time.Second
	// minOutage and maxOutage bound the time until a disconnected node connects again.
	minOutage = 15 * time.Second
	maxOutage = 60 * time.Second
)

// Chaos disconnects random nodes, and connects them again later, until the context is done. Half
// of them publish a shutdown event first, as a server that is stopped does.
func (f *Fleet) Chaos(ctx context.Context) {
	reconnect := map[*member]time.Time{} // when
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(chaosInterval/2 + rand.N(chaosInterval)):
		}
		for m, when := range reconnect {
			if time.Now().After(when) && f.connect(m) == nil {
				delete(reconnect, m)
			}
		}
		m := f.members[rand.IntN(len(f.members))]
		if _, away := reconnect[m]; !away && m.disconnect(rand.IntN(2) == 0) == nil {
			reconnect[m] = time.Now().Add(minOutage + rand.N(maxOutage-minOutage))
		}
	}
}

// disconnect closes the node's connection once the broker has read what the node published.
func (m *member) disconnect(shutdownEvent bool) error {
	if shutdownEvent {
		if err := m.publishShutdown(); err != nil {
			return err
		}
	}
	if err := m.flush(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn.Close()
	m.conn = nil
	return nil
}

// publishShutdown publishes the lifecycle event of a server that is stopped.
func (m *member) publishShutdown() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	event, err := choria.EncodeShutdown(m.Identity, uuid(), time.Now())
	if err != nil {
		return err
	}
	return m.conn.Publish(choria.ShutdownSubject, event)
}
