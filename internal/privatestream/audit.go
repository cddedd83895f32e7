package privatestream

import (
	"encoding/json"
	"strings"

	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// audited are the operations that are recorded, each followed by the name of a stream. Those on consumers are
// not: readers make them all the time. Nor is that nodes leave governors, which needs no administrator's rights.
var audited = map[string]string{
	"STREAM.CREATE":     contract.ActionCreateStream,
	"STREAM.UPDATE":     contract.ActionUpdateStream,
	"STREAM.DELETE":     contract.ActionDeleteStream,
	"STREAM.PURGE":      contract.ActionPurgeStream,
	"STREAM.SNAPSHOT":   contract.ActionBackUpStream,
	"STREAM.RESTORE":    contract.ActionRestoreStream,
	"STREAM.MSG.DELETE": contract.ActionDeleteMessage,
}

// audit records a request of a client that was answered.
func (s *Service) audit(m inproc.Message, answer []byte) {
	operation := operationOf(m)
	end := strings.LastIndexByte(operation, '.')
	action := audited[operation[:max(end, 0)]]
	if action == "" || m.Peer.Kind != inproc.KindClient || s.opts.Audit == nil || s.isLeaving(operation, m.Peer) {
		return
	}
	r := audit.Record{
		Action: action, Identity: m.Peer.User, Address: m.Peer.Host, Connection: m.Peer.ID, Name: m.Peer.Name,
		Stream: operation[end+1:],
	}
	readRequest(&r, m.Data)
	readAnswer(&r, answer)
	s.opts.Audit(r)
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
