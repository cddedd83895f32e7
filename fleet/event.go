package fleet

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

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
	Storm      string    `json:"storm,omitempty"`                   // id, the same for a storm and its calm
	Nodes      int       `json:"nodes,omitempty"`                   // that went down in the storm so far
	Of         int       `json:"of,omitempty"`                      // registered nodes of the site
	Step       float64   `json:"step_seconds,omitempty"`            // seconds by which the clock was set; negative: back
	Stream     string    `json:"stream,omitempty"`                  // that lost messages
	Lost       uint64    `json:"lost,omitempty"`                    // messages of the stream
	Sequence   uint64    `json:"sequence,omitempty"`                // in the stream of events; not stored
}

// Subject returns the subject of the event.
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
	case e.Event == eventClockStep:
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
// not store.
func parseEvent(subject string, data []byte) (*Event, error) {
	if !strings.HasPrefix(subject, contract.SubjectFleetNode) && !strings.HasPrefix(subject, contract.SubjectFleetSite) {
		return nil, fmt.Errorf("%q is not the subject of an event", subject)
	}
	if len(data) > maxEvent {
		return nil, fmt.Errorf("event on %s has %d bytes, more than %d", subject, len(data), maxEvent)
	}
	e := new(Event)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("read event on %s: %w", subject, err)
	}
	if e.Subject() != subject {
		return nil, fmt.Errorf("event on %s belongs on %s", subject, e.Subject())
	}
	if !e.known() {
		return nil, fmt.Errorf("event on %s: unknown event %q to state %q", subject, e.Event, e.To)
	}
	return e, nil
}

// known reports whether the event is one that this package stores.
func (e *Event) known() bool {
	if e.Node == "" {
		return slices.Contains([]string{eventStorm, eventCalm, eventClockStep, eventLost}, e.Event)
	}
	if e.Event == eventConflict || e.Event == eventConflictEnd {
		return true
	}
	return (e.Event == eventNew || e.Event == string(e.To)) && (e.To == Forgotten || slices.Contains(States, e.To))
}
