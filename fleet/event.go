package fleet

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
)

// Values of Event.Event. The other values are the new state of the node.
const (
	eventNew       = "new"
	eventStorm     = "storm"
	eventCalm      = "calm"        // the end of a storm
	eventClockStep = "clock_step"  // the clock of the machine was set
	eventLost      = "stream-lost" // acknowledged messages are gone

	eventConflict    = "conflict" // two nodes use one identity
	eventConflictEnd = "conflict-end"

	eventSiteUp   = "up"   // a site that forwards here is heard of, again
	eventSiteDown = "down" // it is not heard of
)

// Event is one change of a node or a site, as it is stored.
type Event struct {
	Event      string    `json:"event"`          // the node's new state, or one of the constants
	Node       string    `json:"node,omitempty"` // empty: an event of a site
	From       State     `json:"from,omitempty"` // empty: the node is new
	To         State     `json:"to,omitempty"`
	Reason     string    `json:"reason"`                            // for operators
	Since      time.Time `json:"since"`                             // when the cause happened
	Received   time.Time `json:"received,omitzero"`                 // when the node's last registration was received
	Ended      time.Time `json:"ended,omitzero"`                    // when the node's last connection ended
	ShutdownAt time.Time `json:"goodbye,omitzero"`                  // shutdown announced; existing readers expect goodbye
	Address    string    `json:"address,omitempty"`                 // of the node's newest connection
	Interval   float64   `json:"registers_every_seconds,omitempty"` // of the node; absent: not known
	Site       string    `json:"site"`                              // of the node, or the site itself
	Via        string    `json:"via,omitempty"`                     // the site that forwarded it, if not Site; not stored
	Storm      string    `json:"storm,omitempty"`                   // id, the same for a storm and its calm
	Nodes      int       `json:"nodes,omitempty"`                   // that went down in the storm so far
	Of         int       `json:"of,omitempty"`                      // registered nodes of the site
	Step       float64   `json:"step_seconds,omitempty"`            // seconds by which the clock was set; negative: back
	Stream     string    `json:"stream,omitempty"`                  // that lost messages
	Lost       uint64    `json:"lost,omitempty"`                    // messages of the stream
	Sequence   uint64    `json:"sequence,omitempty"`                // in the stream of events; not stored

	forwarded  bool        // an edge forwarded it
	correction *correction // nil: this appliance, or an edge, noticed the change
}

// correction is why this appliance stores an event of a node of another site: it was in a snapshot.
type correction struct {
	snapshot string // its ID
	source   source
}

// Subject returns the subject of the event where it was noticed.
func (e *Event) Subject() string {
	if e.Node == "" {
		return contract.SubjectFleetSite + e.Event + "." + e.Site
	}
	return contract.SubjectFleetNode + e.Event + "." + e.Node
}

// ID returns the message id of the event. It is the same for the same change, so that a change
// that is found again after a restart is stored once.
func (e *Event) ID() string {
	switch {
	case e.correction != nil:
		return fmt.Sprintf("%s/snapshot/%s/%s", e.Site, e.correction.snapshot, e.Node)
	case e.Event == eventClockStep, e.Node == "" && (e.Event == eventSiteUp || e.Event == eventSiteDown):
		return fmt.Sprintf("%s/%s/%d", e.Event, e.Site, e.Since.UnixNano())
	case e.Event == eventLost:
		return fmt.Sprintf("%s/%s/%d", e.Event, e.Stream, e.Since.UnixNano())
	case e.Node == "":
		return e.Event + "/" + e.Storm
	}
	return fmt.Sprintf("%s/%s/%d", e.Node, e.Event, e.Since.UnixNano())
}

// interval returns Interval as a duration.
func (e *Event) interval() time.Duration {
	seconds := min(max(e.Interval, 0), math.MaxInt32)
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

// maxEvent is the size of the largest event, in bytes. Events that this package stores have a few
// hundred; names and addresses are limited.
const maxEvent = 16 << 10

// parseEvent parses a stored event. It returns an error for anything that this package does
// not store. The site of a forwarded event is that of its subject, whatever the event says: only that is
// checked when it is forwarded. If the event is about another site than the one that
// forwarded it, that one is Via.
func parseEvent(subject string, data []byte) (*Event, error) {
	site, subject, forwarded := contract.CutSite(subject)
	if !strings.HasPrefix(subject, contract.SubjectFleetNode) && !strings.HasPrefix(subject, contract.SubjectFleetSite) {
		return nil, fmt.Errorf("%q is not the subject of an event", subject)
	}
	e, err := decodeEvent(data)
	if err != nil {
		return nil, fmt.Errorf("event on %s: %w", subject, err)
	}
	if e.Subject() != subject {
		return nil, fmt.Errorf("event on %s belongs on %s", subject, e.Subject())
	}
	e.forwarded = forwarded
	switch {
	case !forwarded || site == e.Site:
	case e.Node == "":
		e.Via = site
	default:
		e.Site = site
	}
	return e, nil
}

// decodeEvent parses the JSON of an event.
func decodeEvent(data []byte) (*Event, error) {
	if len(data) > maxEvent {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(data), maxEvent)
	}
	e := new(Event)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, err
	}
	e.Via, e.Sequence = "", 0
	if e.Node != "" {
		if err := choria.CheckSender(e.Node); err != nil {
			return nil, err
		}
	}
	if !e.known() {
		return nil, fmt.Errorf("unknown event %q to state %q", e.Event, e.To)
	}
	return e, nil
}

func siteEvents() []string {
	return []string{eventStorm, eventCalm, eventClockStep, eventLost, eventSiteUp, eventSiteDown}
}

// known reports whether the event is one that this package stores.
func (e *Event) known() bool {
	if e.Node == "" {
		return slices.Contains(siteEvents(), e.Event)
	}
	if e.Event == eventConflict || e.Event == eventConflictEnd {
		return true
	}
	ofNode := e.To == Forgotten || slices.Contains(States, e.To) && e.To != Provisioning
	return ofNode && (e.Event == eventNew || e.Event == string(e.To))
}
