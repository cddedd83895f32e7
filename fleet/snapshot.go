package fleet

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// snapshot is how far the snapshot of a site is applied.
type snapshot struct {
	id         string    // empty: none has begun
	number     uint64    // counts the snapshots of all sites since the start
	page       int       // the last one that was applied
	first      source    // of the first page
	applied    time.Time // when the last page was
	incomplete bool      // a node could not be read: none is removed
	done       bool      // the last page was applied
}

// isRunning reports whether more pages are expected: the last one was applied within an interval of heartbeats.
func (p *snapshot) isRunning(now time.Time, interval time.Duration) bool {
	return p.id != "" && !p.done && now.Sub(p.applied) < interval
}

// begin makes a page the next one. A page that was applied before may come again.
func (p *snapshot) begin(page *uplink.Page, number uint64) error {
	switch {
	case page.ID == "" || len(page.Incarnation) > maxIncarnation:
		return fmt.Errorf("the page of a snapshot has no id, or a long incarnation")
	case page.Number == 0 && page.ID != p.id:
		*p = snapshot{id: page.ID, number: number, first: newSource(page.Incarnation, page.Sequence)}
	case page.ID != p.id || page.Number != p.page && page.Number != p.page+1:
		return fmt.Errorf("page %d of a snapshot does not follow the last one: begin again", page.Number)
	}
	p.page = page.Number
	return nil
}

// applyPage applies a page of a snapshot of a listed site. It emits an event for each node that differs from what
// the page says. After the last page, nodes that were on none are forgotten.
func (r *registry) applyPage(page *uplink.Page, now time.Time) error {
	s := r.remotes[page.Site]
	if err := s.snapshot.begin(page, r.snapshots+1); err != nil {
		return err
	}
	if page.Number == 0 {
		r.snapshots++
	}
	s.snapshot.applied = now
	at := position{source: newSource(page.Incarnation, page.Sequence)}
	for _, data := range page.Nodes {
		if err := r.applySnapshotNode(s, data, at, now); err != nil {
			s.snapshot.incomplete = true
			return err
		}
	}
	if !page.Last || s.snapshot.done {
		return nil
	}
	s.snapshot.done = true
	if s.snapshot.incomplete {
		return nil
	}
	for _, of := range r.remotes {
		if of == s || of.via == s {
			r.forgetMissing(of, &s.snapshot, now)
		}
	}
	return nil
}

// forgetMissing removes the nodes of a site that were on no page of a snapshot, but for those that have a later event.
func (r *registry) forgetMissing(s *remoteSite, p *snapshot, now time.Time) {
	for _, n := range s.nodes {
		if n.remote.snapshot == p.number || p.first.isBefore(n.remote.source) {
			continue
		}
		r.correct(n, &Event{
			Event: string(Forgotten), Node: n.name, To: Forgotten, Since: now, Received: n.Received,
			Reason: "its edge does not know the node any more",
		}, p, p.first, now)
	}
}

// correct makes the state of a node that of an event which a snapshot has. It emits the event if the state changed.
func (r *registry) correct(n *node, e *Event, p *snapshot, source source, now time.Time) {
	from := n.announced
	if !n.isShown() {
		from = ""
	}
	n.remote.source = source
	r.setForwarded(n, e, now)
	n.remote.site.noteConflict(n)
	if from == e.To {
		return
	}
	n.remote.site.corrections++
	corrected := *e
	corrected.Site, corrected.From, corrected.Reason = n.site, from, printableText(e.Reason, maxReason)
	corrected.correction = &correction{snapshot: p.id, source: source}
	r.emit(&corrected)
}

// applySnapshotNode applies what a snapshot says of one node.
func (r *registry) applySnapshotNode(s *remoteSite, data json.RawMessage, at position, now time.Time) error {
	e, err := decodeEvent(data)
	if err != nil {
		return err
	}
	of := r.remotes[e.Site]
	switch {
	case e.Node == "" || e.Event != string(e.To):
		return fmt.Errorf("%q is not the state of a node", e.Event)
	case of == nil || of.edge != s.edge: // another hub of the edge may list it
		return nil
	}
	n := of.find(e.Node)
	switch {
	case e.To == Connected || e.To == Forgotten:
		return nil
	case n == nil:
		var ok bool
		if n, ok = of.newForwarded(e.Node, now); !ok {
			return nil
		}
	case at.source.isBefore(n.remote.source):
		n.remote.snapshot = s.snapshot.number
		return nil
	}
	n.remote.snapshot = s.snapshot.number
	r.correct(n, e, &s.snapshot, at.source, now)
	return nil
}
