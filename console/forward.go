package console

import (
	"net/http"

	"github.com/muster-appliance/muster/forward"
)

// Forward is the answer of /api/v1/forward: the hubs that the appliance forwards to.
type Forward struct {
	Hubs []ForwardStatus `json:"hubs"` // by name; empty: the appliance is not an edge
}

// ForwardStatus is one hub that the appliance forwards to, and how far each stream is forwarded.
type ForwardStatus = forward.Status

func (a *api) forward(w http.ResponseWriter, _ *http.Request) {
	answer := Forward{Hubs: []ForwardStatus{}} // an empty list in JSON, not null
	if a.opts.Forward != nil {
		answer.Hubs = append(answer.Hubs, a.opts.Forward()...)
	}
	writeJSON(w, answer)
}
