package privatestream

import (
	"encoding/json"

	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// audit records a request of a client that was answered. That nodes leave governors is not recorded: it needs no
// administrator's rights.
func (s *Service) audit(r *request, answer []byte) {
	leaves := r.name == opDeleteMessage && contract.GovernorSubjects(r.stream) != "" && s.opts.IsNode(r.Peer.ID)
	if r.action == "" || r.Peer.Kind != inproc.KindClient || s.opts.Audit == nil || leaves {
		return
	}
	record := audit.Record{
		Action: r.action, Identity: r.Peer.User, Address: r.Peer.Host, Connection: r.Peer.ID, Name: r.Peer.Name,
		Stream: r.stream,
	}
	readRequest(&record, r.Data)
	readAnswer(&record, answer)
	s.opts.Audit(record)
}

// readRequest adds what a request is about. One that is not valid adds nothing.
func readRequest(r *audit.Record, data []byte) {
	var request struct {
		Filter   string `json:"filter"`
		Sequence uint64 `json:"seq"`
		Keep     uint64 `json:"keep"`
	}
	if r.Action != contract.ActionPurgeStream && r.Action != contract.ActionDeleteMessage {
		return
	}
	if json.Unmarshal(data, &request) == nil {
		r.Filter, r.Sequence, r.Keep = request.Filter, request.Sequence, request.Keep
	}
}

// readAnswer adds what became of a request. The answer has the configuration as readers see it.
func readAnswer(r *audit.Record, data []byte) {
	var answer struct {
		Config json.RawMessage `json:"config"`
		Purged uint64          `json:"purged"`
		Error  *apiError       `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		r.Error = err.Error()
		return
	}
	if answer.Error != nil {
		r.Error = answer.Error.Error()
		return
	}
	r.Purged = answer.Purged
	if r.Action == contract.ActionCreateStream || r.Action == contract.ActionUpdateStream {
		r.Config = answer.Config
	}
}
