// Package uplink has the messages that an edge and its hub exchange beside those that are forwarded: the heartbeat
// of a site, the hub's answer, and a snapshot of all nodes of the site. It has their JSON and no I/O.
//
// An edge sends a heartbeat as a request on choria.sites.<site>.heartbeat. The fleet view of the hub answers; if it
// has other numbers of nodes than the edge, it asks for a snapshot, which the edge sends page by page as requests on
// choria.sites.<site>.snapshot.
package uplink

import (
	"encoding/json"
	"time"
)

// Heartbeat describes a site at one moment.
type Heartbeat struct {
	Site        string    `json:"site"`
	Version     string    `json:"version"`          // of the edge
	Incarnation string    `json:"incarnation"`      // of its streams; another one after they were lost or restored
	Time        time.Time `json:"time"`             // the clock of the edge
	Interval    float64   `json:"interval_seconds"` // until the next heartbeat

	Nodes  map[string]int `json:"nodes,omitempty"` // nodes by state; none: the fleet view of the edge is disabled
	Events uint64         `json:"events_pending"`  // changes that are not in Nodes at the hub: they are on their way

	Adapters map[string]Ledger `json:"adapters,omitempty"` // by adapter
	Streams  map[string]Stream `json:"streams,omitempty"`  // that are forwarded, by their name at the edge
	Disk     Disk              `json:"disk"`

	Sites []Heartbeat `json:"sites,omitempty"` // of the sites that forward to this one; they have no Sites
}

// Ledger is the ledger of an adapter.
type Ledger struct {
	Received  uint64            `json:"received"`
	Stored    uint64            `json:"stored"`
	Duplicate uint64            `json:"duplicate"`
	Rejected  map[string]uint64 `json:"rejected,omitempty"` // by reason; reasons without a message may be absent
	Dropped   map[string]uint64 `json:"dropped,omitempty"`
	Pending   uint64            `json:"pending"`
}

// Stream describes how far a stream is forwarded. At any moment
//
//	Read = Forwarded + Duplicate + Unchanged + Sampled + Superseded + Rejected + Pending
type Stream struct {
	Mode       string `json:"mode"`       // all, changed or sampled
	Read       uint64 `json:"read"`       // messages since the edge started
	Forwarded  uint64 `json:"forwarded"`  // the hub has stored them
	Duplicate  uint64 `json:"duplicate"`  // the hub had stored them before
	Unchanged  uint64 `json:"unchanged"`  // left out: the facts are those of the last one that was forwarded
	Sampled    uint64 `json:"sampled"`    // left out: another one of the sender was forwarded within the interval
	Superseded uint64 `json:"superseded"` // left out: too old, deleted before they were read, or replaced by newer ones
	Rejected   uint64 `json:"rejected"`   // the hub will never store them
	Pending    uint64 `json:"pending"`    // read, without an outcome yet

	Position       uint64  `json:"position"`       // every message up to this sequence has its outcome
	Last           uint64  `json:"last"`           // sequence of the last message of the stream
	Unread         uint64  `json:"unread"`         // messages that are not read yet
	OldestSeconds  float64 `json:"oldest_seconds"` // age of the oldest message without an outcome; 0: all have one
	BytesForwarded uint64  `json:"bytes_forwarded"`
	BytesPerSecond float64 `json:"bytes_per_second"`  // of late
	Paused         bool    `json:"paused,omitempty"`  // by the configuration: paused, or outside hours
	Stalled        string  `json:"stalled,omitempty"` // why messages are not forwarded; empty: they are
}

// Balanced reports whether every message that was read is accounted for.
func (s *Stream) Balanced() bool {
	return s.Read == s.Forwarded+s.Duplicate+s.Unchanged+s.Sampled+s.Superseded+s.Rejected+s.Pending
}

// Behind returns how many messages the copy at the hub lags behind the stream.
func (s *Stream) Behind() uint64 { return s.Unread + s.Pending }

// Disk is the use of the edge's store, in bytes.
type Disk struct {
	Used int64 `json:"used"`
	Free int64 `json:"free"`
}

// Answer is the hub's answer to a heartbeat or a page of a snapshot.
type Answer struct {
	Site     string `json:"site"`               // of the hub
	Snapshot bool   `json:"snapshot,omitempty"` // the edge must send a snapshot
	Error    string `json:"error,omitempty"`    // why the hub did not accept the request; empty: it did
}

// Page is a page of a snapshot. The hub applies a snapshot node by node, and when it has the last page, it removes
// those nodes of the site that were on none.
type Page struct {
	Site        string `json:"site"`
	ID          string `json:"id"`     // of the snapshot: the same on all its pages
	Number      int    `json:"number"` // counts the pages of a snapshot, from 0
	Last        bool   `json:"last"`
	Incarnation string `json:"incarnation"`
	// Sequence is that of the last event in the stream MUSTER_FLEET of the edge before the page was made. The page
	// says nothing about a node of which the hub knows a later event of the same incarnation.
	Sequence uint64 `json:"sequence"`
	// Nodes are the states of nodes, in the form of events of the fleet view.
	Nodes []json.RawMessage `json:"nodes"`
}
