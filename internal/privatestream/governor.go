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
// message that was not deleted. errInvalidJSON is JetStream's answer to a request that cannot be read.
var (
	errOtherEntry = &apiError{
		http.StatusForbidden, 10057, "message delete not permitted: the entry was not made by this node",
	}
	errInvalidJSON = &apiError{http.StatusBadRequest, 10025, "invalid JSON"}
)

// isLeaving reports whether a request is one with which a node leaves a governor. Clients and administrators
// may delete every entry.
func (s *Service) isLeaving(operation string, from inproc.Peer) bool {
	request, stream := splitOperation(operation)
	return request == opDeleteMessage && contract.GovernorSubjects(stream) != "" && s.opts.IsNode(from.ID)
}

// checkLeaving returns what to send to JetStream for a request of a node to delete an entry of a governor, or why it
// is refused: the node has not made that entry. JetStream gets only what was checked. A request for a sequence
// without an entry is not passed on either: another node's entry might be stored there just then.
func (s *Service) checkLeaving(operation string, from inproc.Peer, data []byte) ([]byte, error) {
	var request struct {
		Sequence uint64 `json:"seq"`
		NoErase  bool   `json:"no_erase,omitempty"`
	}
	if json.Unmarshal(data, &request) != nil {
		return nil, errInvalidJSON
	}
	_, stream := splitOperation(operation)
	made, err := s.raw.madeBy(s.ctx, stream, request.Sequence, from.User)
	if err != nil {
		return nil, err
	}
	if !made {
		s.opts.Refused(from, contract.PrefixAPI+operation)
		return nil, errOtherEntry
	}
	return json.Marshal(request)
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
	if changes(operation) {
		done = s.opts.Changing(operation)
	}
	answer, err := s.raw.request(ctx, operation, inproc.Peer{}, data)
	done(answer) // nil after an error
	return answer, err
}
