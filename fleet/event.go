package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

// Kinds of events. Those of nodes but "new" are their new state.
const (
	kindNew   = "new"
	kindStorm = "storm"
	kindCalm  = "calm"
)

// Event is one change, of a node or a site, as it is stored.
type Event struct {
	Event      string    `json:"event"`          // new, up, late, down, stopped, forgotten; storm, calm
	Node       string    `json:"node,omitempty"` //
	From       State     `json:"from,omitempty"` // empty where the node is new
	To         State     `json:"to,omitempty"`   //
	Reason     string    `json:"reason"`         // in words
	Since      time.Time `json:"since"`          // when its cause was
	Received   time.Time `json:"received,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`   // the end of the node's last connection
	ShutdownAt time.Time `json:"goodbye,omitzero"` // when it said that it stops
	Address    string    `json:"address,omitempty"`
	Site       string    `json:"site"`

	Storm string `json:"storm,omitempty"` // id of the storm, the same from its beginning to its end
	Nodes int    `json:"nodes,omitempty"` // how many have gone in it
	Of    int    `json:"of,omitempty"`    // how many the site has

	Sequence uint64 `json:"sequence,omitempty"` // of the stream; not in what is stored
}

// Subject is where the event is published.
func (e *Event) Subject() string {
	if e.Node == "" {
		return contract.SubjectFleetSite + e.Event + "." + e.Site
	}
	return contract.SubjectFleetNode + e.Event + "." + e.Node
}

// ID is the same for the same change, however often it is found.
func (e *Event) ID() string {
	if e.Node == "" {
		return e.Event + "/" + e.Storm
	}
	return fmt.Sprintf("%s/%s/%d", e.Node, e.Event, e.Since.UnixNano())
}

// parseEvent reads what is stored.
func parseEvent(subject string, data []byte) (*Event, error) {
	if !strings.HasPrefix(subject, contract.SubjectFleetNode) && !strings.HasPrefix(subject, contract.SubjectFleetSite) {
		return nil, fmt.Errorf("%q is no subject of an event", subject)
	}
	e := new(Event)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("read event on %s: %w", subject, err)
	}
	if e.Subject() != subject {
		return nil, fmt.Errorf("event on %s tells of %s", subject, e.Subject())
	}
	if !e.known() {
		return nil, fmt.Errorf("event on %s: %q to state %q is none of ours", subject, e.Event, e.To)
	}
	return e, nil
}

// known tells whether the event is one that a fleet can have stored.
func (e *Event) known() bool {
	if e.Node == "" {
		return e.Event == kindStorm || e.Event == kindCalm
	}
	return (e.Event == kindNew || e.Event == string(e.To)) && (e.To == Forgotten || slices.Contains(States, e.To))
}
