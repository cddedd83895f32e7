package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

// Inventories reads the last registration of each node and calls handle with its inventory, in the
// order given. The inventory is nil for a node that registers neither an inventory
// nor facts, that is not in the view, or whose registration is no longer in the stream. If handle
// returns an error, Inventories stops and returns it.
func (f *Fleet) Inventories(
	ctx context.Context, nodes []NodeID, handle func(id NodeID, i *choria.Inventory) error,
) error {
	s, err := f.js.Stream(ctx, f.cfg.Stream)
	if err != nil {
		return fmt.Errorf("read registrations: %w", err)
	}
	for _, id := range nodes {
		i, err := f.inventory(ctx, s, id)
		if err != nil {
			return fmt.Errorf("read the registration of %s: %w", id.Name, err)
		}
		if err := handle(id, i); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) inventory(ctx context.Context, s jetstream.Stream, id NodeID) (*choria.Inventory, error) {
	var subject string
	f.withRegistry(func(r *registry, _ time.Time) { subject = r.lookup(id).subject() })
	if subject == "" { // not in the view, perhaps forgotten since the caller read the names
		return nil, nil
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case m.Header.Get(contract.HeaderSender) != id.Name: // several nodes register on this subject
		last, err := f.Registrations(ctx, id, 1)
		if err != nil || len(last) == 0 {
			return nil, err
		}
		return last[0].content.Inventory, nil
	}
	c, err := choria.UnpackStored(m.Header.Get(contract.HeaderContent), m.Data)
	if err != nil { // the node exists all the same
		return nil, nil
	}
	return c.Inventory, nil
}
