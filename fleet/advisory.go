package fleet

import (
	"encoding/json"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

// ageAdvisory is the advisory that the Stream Replicator publishes about a node. Muster
// publishes the same, so that existing readers of it keep working.
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

// advisoryEvents maps events of a node to those of the Stream Replicator, which has none for
// late or stopped nodes.
var advisoryEvents = map[string]string{
	eventNew:          "new",
	string(Up):        "recover",
	string(Down):      "timeout",
	string(Forgotten): "expire",
}

// advisoryFunc returns a function that makes the advisory of an event, or nil if an event has
// none. It returns nil if advisories are disabled.
func (f *Fleet) advisoryFunc() func(e *Event) *nats.Msg {
	if !f.cfg.Advisories {
		return nil
	}
	return func(e *Event) *nats.Msg {
		event := advisoryEvents[e.Event]
		if e.Node == "" || event == "" || e.Event == string(Up) && e.From == Late {
			return nil
		}
		now := f.opts.Now()
		data, err := json.Marshal(ageAdvisory{
			Protocol: "io.choria.sr.v2.age_advisory", EventID: e.ID(), InspectField: "sender",
			Age: int64(now.Sub(e.Received) / time.Second), Seen: e.Received.Unix(),
			Replicator: f.opts.Site, Timestamp: now.Unix(), Event: event, Value: e.Node,
		})
		if err != nil {
			return nil
		}
		return newMessage(contract.SubjectAdvisories, e.ID(), data)
	}
}
