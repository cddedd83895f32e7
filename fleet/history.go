package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
	"unique"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// mostArrivals is how many registrations of a node are told of.
	mostArrivals = 20
	// arrivalEvery is how often a node is taken to register that has done so once.
	arrivalEvery = time.Hour
)

// Arrival is one registration as it was stored.
type Arrival struct {
	Sequence uint64    `json:"sequence"` // in the stream of registrations
	Received time.Time `json:"received"`
	Verified string    `json:"verified"` // what the adapter found out of its signature
	Request  string    `json:"request"`  // the node's own id of it
	Bytes    int       `json:"bytes"`    // as it is stored
}

// Registration is what a node has registered, unpacked.
type Registration struct {
	Arrival
	Kind  string          `json:"kind"`           // inventory, file or body
	Data  json.RawMessage `json:"data,omitempty"` // where it is JSON
	Text  string          `json:"text,omitempty"` // where it is text
	Error string          `json:"error,omitempty"`

	content content
}

// topicOf is the subject with the sender as %s, as the adapter's configuration has it: the
// nodes of an adapter share it.
func topicOf(subject, sender string) word {
	if at := strings.LastIndex(subject, sender); at >= 0 {
		subject = subject[:at] + "%s" + subject[at+len(sender):]
	}
	return unique.Make(subject)
}

// subject is where the node's registrations are stored; empty where nobody knows.
func (n *node) subject() string {
	if n == nil || n.topic == (word{}) {
		return ""
	}
	return strings.Replace(n.topic.Value(), "%s", n.name, 1)
}

// Registrations are the last of a node that are still in the stream, the latest first, at
// most so many.
func (f *Fleet) Registrations(ctx context.Context, name string, most int) ([]Registration, error) {
	var subject string
	var since time.Time
	f.with(func(b *book, _ time.Time) {
		n := b.nodes[name]
		if subject = n.subject(); subject != "" {
			every := max(n.every, time.Minute)
			if n.every == 0 {
				every = arrivalEvery
			}
			since = n.Received.Add(-time.Duration(most+1) * every)
		}
	})
	if subject == "" {
		return nil, nil
	}
	registrations, err := f.readRegistrations(ctx, subject, name, since, most)
	if err == nil && len(registrations) < most { // it was away for longer than it usually is
		registrations, err = f.readRegistrations(ctx, subject, name, time.Time{}, most)
	}
	if err != nil {
		return nil, fmt.Errorf("read registrations of %s: %w", name, err)
	}
	return registrations, nil
}

func (f *Fleet) readRegistrations(ctx context.Context, subject, name string, since time.Time, most int) ([]Registration, error) {
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
		last = append([]Registration{registration(m, sequence)}, last...)
		last = last[:min(len(last), most)]
	})
	return last, err
}

func registration(m jetstream.Msg, sequence uint64) Registration {
	header := m.Headers()
	r := Registration{Arrival: Arrival{
		Sequence: sequence, Verified: header.Get(contract.HeaderVerified), Request: header.Get(contract.HeaderRequestID), Bytes: len(m.Data()),
	}}
	r.Received, _ = time.Parse(time.RFC3339Nano, header.Get(contract.HeaderReceived)) // zero: not an adapter's
	var err error
	if r.content, err = open(header.Get(contract.HeaderContent), m.Data()); err != nil {
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

// Detail is a node with what it has registered.
type Detail struct {
	NodeStatus
	Arrivals     []Arrival     `json:"arrivals"`               // the latest first
	Registration *Registration `json:"registration,omitempty"` // the last
}

// Detail is one node, if it is in the view, with what is still in the stream of it.
func (f *Fleet) Detail(ctx context.Context, name string) (d Detail, ok bool, err error) {
	if d.NodeStatus, ok = f.Node(name); !ok {
		return d, false, nil
	}
	registrations, err := f.Registrations(ctx, name, mostArrivals)
	d.Arrivals = []Arrival{}
	for i, r := range registrations {
		d.Arrivals = append(d.Arrivals, r.Arrival)
		if i == 0 {
			d.Registration = &r
		}
	}
	return d, true, err
}
