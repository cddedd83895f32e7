package console

import (
	"net/http"
	"time"
)

// Leafnodes is the answer of /api/v1/leafnodes.
type Leafnodes struct {
	Leafnodes []Leafnode `json:"leafnodes"` // empty: leaf nodes are not configured
}

// Leafnode is a link to the broker of another site.
type Leafnode struct {
	Name        string    `json:"name"`           // of the peer, or of the remote in the configuration
	Remote      bool      `json:"remote"`         // this appliance connects; false: the other side does
	URLs        []string  `json:"urls,omitempty"` // of a remote
	Allow       string    `json:"allow"`          // nodes, clients or both
	Connected   bool      `json:"connected"`
	Since       time.Time `json:"since,omitzero"`    // when that began; absent: it was never connected
	Address     string    `json:"address,omitempty"` // of the other side, now or at last
	RoundTripMS float64   `json:"round_trip_ms"`
	Compression string    `json:"compression,omitempty"`
	Received    uint64    `json:"received"` // messages of this connection
	Sent        uint64    `json:"sent"`
	Error       string    `json:"error,omitempty"` // why a remote is not connected
}

func (a *api) leafnodes(w http.ResponseWriter, _ *http.Request) {
	answer := Leafnodes{Leafnodes: []Leafnode{}} // an empty list in JSON, not null
	if a.opts.Leafnodes != nil {
		answer.Leafnodes = append(answer.Leafnodes, a.opts.Leafnodes()...)
	}
	writeJSON(w, answer)
}
