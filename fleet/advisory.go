package fleet

import (
	"encoding/json"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

// ageAdvisory is what Stream Replicator says of a node, so that who reads that goes on.
// Schema: https://choria.io/schemas/sr/v2/age_advisory.json.
type ageAdvisory struct {
	Protocol     string `json:"protocol"`
	EventID      string `json:"event_id"`
	InspectField string `json:"inspect_field"`
	Age          int64  `json:"age"`  // seconds
	Seen         int64  `json:"seen"` // Unix seconds
	Replicator   string `json:"replicator"`
	Timestamp    int64  `json:"timestamp"` // Unix seconds
	Event        string `json:"event"`
	Value        string `json:"value"`
}

// advisoryEvents are Stream Replicator's words for ours. It knows of no node that is late,
// or that stopped.
var advisoryEvents = map[string]string{
	kindNew:           "new",
	string(Up):        "recover",
	string(Down):      "timeout",
	string(Forgotten): "expire",
}

// advisory makes what is published beside an event, where that is wanted.
func (f *Fleet) advisory() func(e *Event) *nats.Msg {
	if !f.cfg.Advisories {
		return nil
	}
	return func(e *Event) *nats.Msg {
		word := advisoryEvents[e.Event]
		if e.Node == "" || word == "" || e.Event == string(Up) && e.From == Late {
			return nil
		}
		now := f.o.Now()
		data, err := json.Marshal(ageAdvisory{
			Protocol: "io.choria.sr.v2.age_advisory", EventID: e.ID(), InspectField: "sender",
			Age: int64(now.Sub(e.Received) / time.Second), Seen: e.Received.Unix(),
			Replicator: f.o.Site, Timestamp: now.Unix(), Event: word, Value: e.Node,
		})
		if err != nil {
			return nil
		}
		return message(contract.SubjectAdvisories, e.ID(), data)
	}
}
