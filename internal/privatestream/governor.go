package privatestream

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go"
)

// errOtherEntry is the answer to a node that would free the slot of another one, with JetStream's code for a
// message that was not deleted.
var errOtherEntry = &apiError{
	http.StatusForbidden, 10057, "message delete not permitted: the entry was not made by this node",
}

// checkLeaving returns what to send to JetStream for a request of a node to delete an entry of a governor, or why it
// is refused: the node has not made that entry. JetStream gets only what was checked. A request for a sequence
// without an entry is not passed on either: another node's entry might be stored there just then. Clients and
// administrators may delete every entry.
func (s *Service) checkLeaving(r *request) ([]byte, error) {
	var asked struct {
		Sequence uint64 `json:"seq"`
		NoErase  bool   `json:"no_erase,omitempty"`
	}
	if json.Unmarshal(r.Data, &asked) != nil {
		return nil, errInvalidJSON
	}
	made, err := s.raw.madeBy(s.ctx, r.stream, asked.Sequence, r.Peer.User)
	if err != nil {
		return nil, err
	}
	if !made {
		return nil, s.refuse(r, errOtherEntry)
	}
	return json.Marshal(asked)
}

// madeBy reports whether an identity has made an entry of a governor. The appliance alone writes the header.
func (r rawAPI) madeBy(ctx context.Context, stream string, sequence uint64, identity string) (bool, error) {
	data, err := json.Marshal(map[string]uint64{"seq": sequence})
	if err != nil {
		return false, err
	}
	if data, err = r.request(ctx, "STREAM.MSG.GET."+stream, inproc.Peer{}, data); err != nil {
		return false, err
	}
	var answer struct {
		Error   *apiError `json:"error"`
		Message struct {
			Header []byte `json:"hdrs"`
		} `json:"message"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return false, err
	}
	if answer.Error != nil {
		return false, answer.Error
	}
	if len(answer.Message.Header) == 0 { // stored by an earlier version
		return false, nil
	}
	header, err := nats.DecodeHeadersMsg(answer.Message.Header)
	if err != nil {
		return false, err
	}
	stored := header.Values(contract.HeaderIdentity)
	return len(stored) == 1 && stored[0] == identity, nil
}

// Request sends a request of the appliance itself to JetStream's API, and returns the answer. Configurations in it
// have the write token. The operation is the rest of a subject after "$JS.API.".
func (s *Service) Request(ctx context.Context, operation string, data []byte) ([]byte, error) {
	done := func([]byte) {}
	if r, known := parseRequest(inproc.Message{Subject: contract.SubjectAPI + operation}); known && r.changes {
		done = s.opts.Changing(operation)
	}
	answer, err := s.raw.request(ctx, operation, inproc.Peer{}, data)
	done(answer) // nil after an error
	return answer, err
}
