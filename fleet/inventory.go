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

// Inventories reads what those nodes have registered last, one after another. It is nil for
// a node that registers neither an inventory nor facts, and for one whose registration has
// left the stream.
func (f *Fleet) Inventories(ctx context.Context, names []string, take func(name string, i *choria.Inventory) error) error {
	s, err := f.js.Stream(ctx, f.cfg.Stream)
	if err != nil {
		return fmt.Errorf("read registrations: %w", err)
	}
	for _, name := range names {
		i, err := f.inventory(ctx, s, name)
		if err != nil {
			return fmt.Errorf("read the registration of %s: %w", name, err)
		}
		if err := take(name, i); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) inventory(ctx context.Context, s jetstream.Stream, name string) (*choria.Inventory, error) {
	var subject string
	f.with(func(b *book, _ time.Time) { subject = b.nodes[name].subject() })
	if subject == "" { // forgotten meanwhile
		return nil, nil
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case m.Header.Get(contract.HeaderSender) != name: // others share the subject
		last, err := f.Registrations(ctx, name, 1)
		if err != nil || len(last) == 0 {
			return nil, err
		}
		return last[0].content.inventory, nil
	}
	found, err := open(m.Header.Get(contract.HeaderContent), m.Data)
	if err != nil { // it is no less a node
		return nil, nil
	}
	return found.inventory, nil
}
