package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxRegistrations is how many registrations a Detail lists.
	maxRegistrations = 20
	// defaultInterval is the assumed interval of a node that has registered once.
	defaultInterval = time.Hour
	// minInterval is the shortest interval that is used to estimate where in the stream the last
	// registrations begin.
	minInterval = time.Minute
	// maxGets is how many messages on the subject of a node are read one by one; if there are
	// more, they are read with a consumer, which costs more requests but reads faster.
	maxGets = 100
)

// RegistrationInfo is a registration as it was stored, without its content.
type RegistrationInfo struct {
	Sequence uint64    `json:"sequence"` // in the stream of registrations
	Received time.Time `json:"received"` // zero: another program than an adapter stored it
	Verified string    `json:"verified"` // how the adapter verified its sender, or why it did not
	Request  string    `json:"request"`  // the request id that the node chose
	Bytes    int       `json:"bytes"`    // as stored
}

// maxContents is how many of a node's last registrations are unpacked, the newest; of the others only
// RegistrationInfo is needed.
const maxContents = 2

// Registration is a stored registration, unpacked. It has Data, Text or Error.
type Registration struct {
	RegistrationInfo
	Kind  string          `json:"kind"`           // inventory, file or body
	Data  json.RawMessage `json:"data,omitempty"` // the content, if it is JSON
	Text  string          `json:"text,omitempty"` // the content, if it is other text
	Error string          `json:"error,omitempty"`

	content choria.StoredContent
	packed  bool   // to be unpacked from the two fields below
	stored  []byte // the message
	packing string // kind of its content; empty: Choria's format
}

// Registrations returns a node's last registrations that are still in the stream, the newest
// first, at most limit. The first maxContents are unpacked. It returns none for a node that is not in the view.
func (f *Fleet) Registrations(ctx context.Context, id NodeID, limit int) ([]Registration, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var subject string
	var since time.Time
	f.withRegistry(func(r *registry, _ time.Time) {
		n := r.lookup(id)
		if subject = n.subject(); subject != "" {
			interval, _ := n.gaps.interval()
			if interval == 0 {
				interval = defaultInterval
			}
			interval = max(interval, minInterval)
			since = n.Received.Add(-time.Duration(limit+1) * interval)
		}
	})
	if subject == "" {
		return nil, nil
	}
	last := &lastRegistrations{name: id.Name, limit: limit}
	if err := f.readRegistrations(ctx, subject, since, last); err != nil {
		return nil, fmt.Errorf("read registrations of %s: %w", id.Name, err)
	}
	for i := range last.found {
		last.found[i].unpack()
	}
	return last.found, nil
}

// readRegistrations reads the registrations on a subject into last. If there are many, it begins
// with those that were stored since a time.
func (f *Fleet) readRegistrations(
	ctx context.Context, subject string, since time.Time, last *lastRegistrations,
) error {
	s, err := f.js.Stream(ctx, f.cfg.Stream)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return err
	}
	if stored := info.State.Subjects[subject]; stored <= maxGets {
		return last.get(ctx, s, subject, info.State)
	}
	from := jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	handle := func(m jetstream.Msg, sequence uint64) { last.add(m.Headers(), m.Data(), sequence) }
	if err := f.readStored(ctx, s, from, 0, handle); err != nil || len(last.found) == last.limit {
		return err
	}
	last.found = nil // the node was silent for longer than its interval
	from.DeliverPolicy, from.OptStartTime = jetstream.DeliverAllPolicy, nil
	return f.readStored(ctx, s, from, 0, handle)
}

// lastRegistrations are the last registrations of a node, the newest first. Other nodes may
// register on the same subject.
type lastRegistrations struct {
	name  string
	limit int
	found []Registration
}

// add adds a message if it is a registration of the node.
func (l *lastRegistrations) add(header nats.Header, data []byte, sequence uint64) {
	if header.Get(contract.HeaderSender) != l.name {
		return
	}
	l.found = append([]Registration{newRegistration(header, data, sequence)}, l.found...)
	l.found = l.found[:min(len(l.found), l.limit)]
	if len(l.found) > maxContents {
		l.found[maxContents].packed, l.found[maxContents].stored = false, nil
	}
}

// get adds all messages on a subject that were stored when the stream had that state. It reads
// them one by one, which needs no consumer.
func (l *lastRegistrations) get(
	ctx context.Context, s jetstream.Stream, subject string, state jetstream.StreamState,
) error {
	if state.Subjects[subject] == 0 {
		return nil
	}
	for sequence := state.FirstSeq; sequence <= state.LastSeq; {
		m, err := s.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subject))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil
		case err != nil:
			return err
		case m.Sequence > state.LastSeq:
			return nil
		}
		l.add(m.Header, m.Data, m.Sequence)
		sequence = m.Sequence + 1
	}
	return nil
}

func newRegistration(header nats.Header, data []byte, sequence uint64) Registration {
	r := Registration{RegistrationInfo: RegistrationInfo{
		Sequence: sequence, Verified: header.Get(contract.HeaderVerified),
		Request: header.Get(contract.HeaderRequestID), Bytes: len(data),
	}, packed: true, stored: data, packing: header.Get(contract.HeaderContent)}
	r.Received, _ = time.Parse(time.RFC3339Nano, header.Get(contract.HeaderReceived))
	return r
}

// unpack unpacks the stored message if it is still packed.
func (r *Registration) unpack() {
	if !r.packed {
		return
	}
	var err error
	if r.content, err = choria.UnpackStored(r.packing, r.stored); err != nil {
		r.Error = err.Error()
	}
	r.packed, r.stored = false, nil
	switch r.Kind = r.content.Kind; {
	case r.content.Data == nil && r.Error != "":
	case json.Valid(r.content.Data):
		r.Data = r.content.Data
	case utf8.Valid(r.content.Data):
		r.Text = string(r.content.Data)
	default:
		r.Error = "neither JSON nor text"
	}
}

// Detail is a node with its last registrations. The JSON name "arrivals" is an old one that readers use.
type Detail struct {
	NodeStatus
	Registrations []RegistrationInfo `json:"arrivals"`               // the newest first, at most maxRegistrations
	Registration  *Registration      `json:"registration,omitempty"` // the newest; nil: none is in the stream
	AlsoAt        []string           `json:"also_at,omitempty"`      // other sites that have a node of this name
}

// Detail returns a node with its registrations that are still in the stream. ok is false if the
// node is not in the view.
func (f *Fleet) Detail(ctx context.Context, id NodeID) (d Detail, ok bool, err error) {
	if d.NodeStatus, ok = f.Node(id); !ok {
		return d, false, nil
	}
	for _, n := range f.Named(id.Name) {
		if n.Site != d.Site {
			d.AlsoAt = append(d.AlsoAt, n.Site)
		}
	}
	registrations, err := f.Registrations(ctx, id, maxRegistrations)
	d.Registrations = []RegistrationInfo{}
	for i, r := range registrations {
		d.Registrations = append(d.Registrations, r.RegistrationInfo)
		if i == 0 {
			d.Registration = &r
		}
	}
	return d, true, err
}
