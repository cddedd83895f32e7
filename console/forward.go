package console

import (
	"net/http"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// Forward is the answer of /api/v1/forward: the hubs that the appliance forwards to.
type Forward struct {
	Hubs []ForwardStatus `json:"hubs"` // by name; empty: the appliance is not an edge
}

// ForwardStatus is one hub that the appliance forwards to, and how far each stream is forwarded.
type ForwardStatus struct {
	Hub       string                   `json:"hub"`     // name of its table in the configuration
	Servers   []string                 `json:"servers"` // URLs
	Connected bool                     `json:"connected"`
	Since     time.Time                `json:"since,omitzero"`     // when the connection began or ended; zero: never
	Error     string                   `json:"error,omitempty"`    // the last one; empty: none since it is connected
	Paused    bool                     `json:"paused"`             // data is not forwarded; events and heartbeats are
	Heartbeat time.Time                `json:"heartbeat,omitzero"` // when the hub last answered one; zero: never
	Streams   map[string]uplink.Stream `json:"streams"`            // by name
}

func (a *api) forward(w http.ResponseWriter, _ *http.Request) {
	answer := Forward{Hubs: []ForwardStatus{}} // an empty list in JSON, not null
	if a.opts.Forward != nil {
		answer.Hubs = append(answer.Hubs, a.opts.Forward()...)
	}
	writeJSON(w, answer)
}
