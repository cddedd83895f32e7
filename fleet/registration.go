package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/muster-appliance/muster/internal/contract"
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
)

// RegistrationInfo is a registration as it was stored, without its content.
type RegistrationInfo struct {
	Sequence uint64    `json:"sequence"` // in the stream of registrations
	Received time.Time `json:"received"` // zero: another program than an adapter stored it
	Verified string    `json:"verified"` // how the adapter verified its sender, or why it did not
	Request  string    `json:"request"`  // the request id that the node chose
	Bytes    int       `json:"bytes"`    // as stored
}

// Registration is a stored registration, unpacked. It has Data, Text or Error.
type Registration struct {
	RegistrationInfo
	Kind  string          `json:"kind"`           // inventory, file or body
	Data  json.RawMessage `json:"data,omitempty"` // the content, if it is JSON
	Text  string          `json:"text,omitempty"` // the content, if it is other text
	Error string          `json:"error,omitempty"`

	content content
}

// Registrations returns a node's last registrations that are still in the stream, the newest
// first, at most limit. It returns none for a node that is not in the view.
func (f *Fleet) Registrations(ctx context.Context, name string, limit int) ([]Registration, error) {
	var subject string
	var since time.Time
	f.withRegistry(func(r *registry, _ time.Time) {
		n := r.nodes[name]
		if subject = n.subject(); subject != "" {
			interval := max(n.interval, minInterval)
			if n.interval == 0 {
				interval = defaultInterval
			}
			since = n.Received.Add(-time.Duration(limit+1) * interval)
		}
	})
	if subject == "" {
		return nil, nil
	}
	registrations, err := f.readRegistrations(ctx, subject, name, since, limit)
	if err == nil && len(registrations) < limit { // the node was silent for longer than its interval
		registrations, err = f.readRegistrations(ctx, subject, name, time.Time{}, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("read registrations of %s: %w", name, err)
	}
	return registrations, nil
}

// readRegistrations returns the last registrations of a node on a subject that were stored since
// a time, the newest first. Other nodes may register on the same subject.
func (f *Fleet) readRegistrations(
	ctx context.Context, subject, name string, since time.Time, limit int,
) ([]Registration, error) {
	s, err := f.js.Stream(ctx, f.cfg.Stream)
	if err != nil {
		return nil, err
	}
	from := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	var last []Registration
	err = read(ctx, s, from, 0, func(m jetstream.Msg, sequence uint64) {
		if m.Headers().Get(contract.HeaderSender) != name {
			return
		}
		last = append([]Registration{newRegistration(m, sequence)}, last...)
		last = last[:min(len(last), limit)]
	})
	return last, err
}

func newRegistration(m jetstream.Msg, sequence uint64) Registration {
	header := m.Headers()
	r := Registration{RegistrationInfo: RegistrationInfo{
		Sequence: sequence, Verified: header.Get(contract.HeaderVerified),
		Request: header.Get(contract.HeaderRequestID), Bytes: len(m.Data()),
	}}
	r.Received, _ = time.Parse(time.RFC3339Nano, header.Get(contract.HeaderReceived))
	var err error
	if r.content, err = unpack(header.Get(contract.HeaderContent), m.Data()); err != nil {
		r.Error = err.Error()
	}
	switch r.Kind = r.content.kind; {
	case json.Valid(r.content.data):
		r.Data = r.content.data
	case utf8.Valid(r.content.data):
		r.Text = string(r.content.data)
	default:
		r.Error = "neither JSON nor text"
	}
	return r
}

// Detail is a node with its last registrations. The JSON name "arrivals" is an old one that readers use.
type Detail struct {
	NodeStatus
	Registrations []RegistrationInfo `json:"arrivals"`               // the newest first, at most maxRegistrations
	Registration  *Registration      `json:"registration,omitempty"` // the newest; nil: none is in the stream
}

// Detail returns a node with its registrations that are still in the stream. ok is false if the
// node is not in the view.
func (f *Fleet) Detail(ctx context.Context, name string) (d Detail, ok bool, err error) {
	if d.NodeStatus, ok = f.Node(name); !ok {
		return d, false, nil
	}
	registrations, err := f.Registrations(ctx, name, maxRegistrations)
	d.Registrations = []RegistrationInfo{}
	for i, r := range registrations {
		d.Registrations = append(d.Registrations, r.RegistrationInfo)
		if i == 0 {
			d.Registration = &r
		}
	}
	return d, true, err
}
