package privatestream

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/subject"
)

// Operations whose subjects name no stream.
const (
	listStreams = "STREAM.LIST"
	nameStreams = "STREAM.NAMES"
)

// operationOf returns the rest of a request's subject after "$JS.API.".
func operationOf(m inproc.Message) string {
	return strings.TrimPrefix(strings.TrimPrefix(m.Subject, contract.SubjectAPI), contract.SubjectChecked)
}

// answer answers one request. JetStream and the server send, with permissions of their own, what a client
// makes them send. With an empty answer, for example, a node could delete a stream. So what no client has
// sent is ignored, and what an answer of the appliance itself may cause: it is sent over another account.
func (s *Service) answer(m inproc.Message) {
	operation := operationOf(m)
	if m.Peer.Kind != inproc.KindClient || m.Peer.Account != s.opts.Account {
		s.opts.Log.Debug("request ignored", "subject", m.Subject)
		return
	}
	done := func([]byte) {}
	if changes(operation) {
		done = s.opts.Changing(operation)
	}
	data, err := s.checkNode(m)
	if err == nil {
		data, err = s.do(operation, m.Peer, data)
	}
	var refused *apiError
	switch {
	case err == nil:
	case errors.As(err, &refused):
		data = errorAnswer(operation, refused)
	default: // JetStream may change something nevertheless
		done(nil)
		done = func([]byte) {}
		data = errorAnswer(operation, errUnavailable)
	}
	done(data) // before the client knows
	if changes(operation) {
		s.opts.Log.Debug("request to change a stream", "subject", m.Subject, "name", m.Peer.User, "error", err)
	}
	s.audit(m, data)
	s.publish(m, data)
}

// emptyHeader is a header block without headers.
var emptyHeader = inproc.Begin(nil).End()

// publish sends the answer to a request. If the connection has just ended, the client gets no answer.
func (s *Service) publish(m inproc.Message, answer []byte) {
	if conn := s.conn.Load(); conn != nil && m.Reply != "" {
		_ = conn.Publish(m.Reply, "", emptyHeader, answer)
	}
}

// changes reports whether an operation can change a stream or its messages.
func changes(operation string) bool {
	request, _ := splitOperation(operation)
	switch request {
	case opDeleteMessage, opDeleteConsumer:
		return true
	case opStreamInfo, opGetMessage, opCreateConsumer:
		return false
	default:
		return operation != listStreams && operation != nameStreams
	}
}

// errorAnswer returns an answer with an error, in the form of JetStream.
func errorAnswer(operation string, refused *apiError) []byte {
	o := object{}
	o.set("type", answerType(operation))
	o.set("error", refused)
	data, _ := json.Marshal(o) // it is made of valid JSON
	return data
}

// answerType returns the type of an answer, as JetStream names it.
func answerType(operation string) string {
	tokens := strings.Split(strings.ToLower(operation), ".")
	kind := tokens[0] + "_" + tokens[1]
	if tokens[1] == "msg" && len(tokens) > 2 {
		kind += "_" + tokens[2]
	}
	return "io.nats.jetstream.api.v1." + kind + "_response"
}

// do asks JetStream and returns the answer as readers see it.
func (s *Service) do(operation string, from inproc.Peer, data []byte) ([]byte, error) {
	if operation == listStreams || operation == nameStreams {
		var filter struct {
			Subject string `json:"subject"`
			Offset  int    `json:"offset"`
		}
		if json.Unmarshal(data, &filter) == nil && filter.Subject != "" {
			return s.find(operation, filter.Subject, max(filter.Offset, 0))
		}
	}
	if !s.opts.IsAdmin(from.ID) && storesToken(operation, data) {
		s.opts.Refused(from, contract.PrefixAPI+operation)
		return nil, errStoresToken
	}
	data, err := s.hideRequest(operation, data)
	if err != nil {
		return nil, err
	}
	answer, err := s.raw.request(s.ctx, operation, from, data)
	if err != nil {
		return nil, err
	}
	shown, err := parseObject(answer)
	if err != nil {
		return nil, err
	}
	if err := shown.show(); err != nil {
		return nil, err
	}
	if request, _ := splitOperation(operation); request == opStreamInfo && s.opts.IsNode(from.ID) {
		err = shown.withoutDirect()
	}
	if err != nil {
		return nil, err
	}
	return s.fit(shown)
}

// hideRequest returns a request with what the stream listens to. JetStream answers a malformed one.
func (s *Service) hideRequest(operation string, data []byte) ([]byte, error) {
	whole, err := parseObject(data)
	tokens := strings.Split(operation, ".")
	if err != nil || len(tokens) != 3 || !s.subjects.canBePrivate(tokens[2]) {
		return data, nil
	}
	stream := tokens[2]
	switch tokens[1] {
	case "CREATE", "UPDATE":
		err = s.subjects.hide(stream, whole)
	case "RESTORE":
		var config object
		if config, err = parseObject(whole["config"]); err != nil {
			return data, nil
		}
		err = s.subjects.hide(stream, config)
		whole.set("config", config)
	default:
		return data, nil
	}
	if err != nil {
		return nil, invalidConfig(err)
	}
	return json.Marshal(whole)
}

// find answers a request for the streams that store a subject.
func (s *Service) find(operation, filter string, offset int) ([]byte, error) {
	infos, answer, err := s.raw.list(s.ctx)
	if err != nil {
		return nil, err
	}
	found := []any{}
	for _, info := range infos {
		o, err := parseObject(info)
		if err != nil {
			return nil, err
		}
		name, matches, err := o.stores(filter)
		switch {
		case err != nil:
			return nil, err
		case matches && operation == nameStreams:
			found = append(found, name)
		case matches:
			found = append(found, o)
		}
	}
	offset = min(offset, len(found))
	answer.set("type", answerType(operation))
	answer.set("total", len(found))
	answer.set("offset", offset)
	answer.set("limit", maxStreams)
	answer.set(memberStreams, found[offset:min(offset+maxStreams, len(found))])
	if err := answer.show(); err != nil {
		return nil, err
	}
	return s.fit(answer)
}

// stores returns the name of a stream, and whether a public subject of it overlaps the filter.
func (o object) stores(filter string) (name string, matches bool, err error) {
	var config struct {
		Name     string   `json:"name"`
		Subjects []string `json:"subjects"`
	}
	if err := o.get("config", &config); err != nil {
		return "", false, err
	}
	names, _ := public(config.Subjects)
	for _, stored := range names {
		matches = matches || subject.Overlap(filter, stored)
	}
	return config.Name, matches, nil
}
