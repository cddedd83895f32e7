package simnode

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

const (
	// chaosInterval is how often something happens to a node, on average.
	chaosInterval = 2 * time.Second
	// leastAway and mostAway are how long a node that has gone stays away.
	leastAway = 15 * time.Second
	mostAway  = 60 * time.Second
)

// Chaos lets nodes go and come back until the context is done: half of those that go say
// goodbye first, as a server that is stopped does, the others are cut off.
func (f *Fleet) Chaos(ctx context.Context) {
	back := map[*member]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(chaosInterval/2 + rand.N(chaosInterval)):
		}
		for m, when := range back {
			if time.Now().After(when) && f.connect(m) == nil {
				delete(back, m)
			}
		}
		m := f.members[rand.IntN(len(f.members))]
		if _, away := back[m]; !away && m.leave(rand.IntN(2) == 0) == nil {
			back[m] = time.Now().Add(leastAway + rand.N(mostAway-leastAway))
		}
	}
}

// leave ends the node's connection, once the broker has read what came over it.
func (m *member) leave(goodbye bool) error {
	if goodbye {
		if err := m.sayGoodbye(); err != nil {
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

func (m *member) sayGoodbye() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	event, err := choria.EncodeShutdown(m.Identity, uuid(), time.Now())
	if err != nil {
		return err
	}
	return m.conn.Publish(choria.ShutdownSubject, event)
}
