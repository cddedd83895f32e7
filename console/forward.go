package console

import (
	"net/http"

	"github.com/muster-appliance/muster/forward"
)

// Forward is the answer of /api/v1/forward.
type Forward struct {
	Hubs []forward.Status `json:"hubs"` // that the appliance forwards to, by name; empty: it is not an edge
}

func (a *api) forward(w http.ResponseWriter, _ *http.Request) {
	answer := Forward{Hubs: []forward.Status{}} // an empty list in JSON, not null
	if a.opts.Forward != nil {
		answer.Hubs = append(answer.Hubs, a.opts.Forward()...)
	}
	writeJSON(w, answer)
}
