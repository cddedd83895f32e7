package privatestream

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/subject"
)

// answer answers one request. JetStream and the server send, with permissions of their own, what a client
// makes them send. With an empty answer, for example, a node could delete a stream. So what no client has
// sent is ignored, and what an answer of the appliance itself may cause: it is sent over another account.
func (s *Service) answer(m inproc.Message) {
	answered := m.Peer.Account == s.opts.Account || slices.Contains(s.opts.Others, m.Peer.Account)
	if m.Peer.Kind != inproc.KindClient || !answered {
		s.opts.Log.Debug("request ignored", "subject", m.Subject)
		return
	}
	r, known := parseRequest(m)
	if !known {
		s.publish(m, r.errorAnswer(s.refuse(&r, errNotAllowed)))
		return
	}
	data, err := s.check(&r)
	if err == nil {
		data, err = s.perform(&r, data)
	}
	if err != nil {
		data = r.errorAnswer(err)
	}
	if r.changes {
		s.opts.Log.Debug("request to change a stream", "subject", m.Subject, "name", m.Peer.User, "error", err)
	}
	s.audit(&r, data)
	s.publish(m, data)
}

// perform asks JetStream, and tells the appliance of a change before and after it: before the client knows.
func (s *Service) perform(r *request, data []byte) ([]byte, error) {
	if !r.changes {
		return s.do(r, data)
	}
	done := s.opts.Changing(r.text)
	answer, err := s.do(r, data)
	var refused *apiError
	switch {
	case err == nil:
		done(answer)
	case errors.As(err, &refused):
		done(r.errorAnswer(err))
	default: // JetStream may change something nevertheless
		done(nil)
	}
	return answer, err
}

// emptyHeader is a header block without headers.
var emptyHeader = inproc.Begin(nil).End()

// publish sends the answer to a request. If the connection has just ended, the client gets no answer.
func (s *Service) publish(m inproc.Message, answer []byte) {
	if conn := s.conn.Load(); conn != nil && m.Reply != "" {
		_ = conn.Publish(m.Reply, "", emptyHeader, answer)
	}
}

// errorAnswer returns an answer with an error, in the form of JetStream.
func (r *request) errorAnswer(err error) []byte {
	refused := errUnavailable
	errors.As(err, &refused)
	o := object{}
	o.set("type", r.answerType())
	o.set("error", refused)
	data, _ := json.Marshal(o) // it is made of valid JSON
	return data
}

// do asks JetStream and returns the answer as readers see it.
func (s *Service) do(r *request, data []byte) ([]byte, error) {
	if r.stream == "" { // a list
		var filter struct {
			Subject string `json:"subject"`
			Offset  int    `json:"offset"`
		}
		if json.Unmarshal(data, &filter) == nil && filter.Subject != "" {
			return s.find(r, filter.Subject, max(filter.Offset, 0))
		}
	}
	data, err := s.hideRequest(r, data)
	if err != nil {
		return nil, err
	}
	answer, err := s.raw.request(s.ctx, r.text, r.Peer, data)
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
	if r.name == opStreamInfo && s.opts.IsNode(r.Peer.ID) {
		err = shown.withoutDirect()
	}
	if err != nil {
		return nil, err
	}
	return s.fit(shown)
}

// hideRequest returns the data of a request with what the stream listens to.
func (s *Service) hideRequest(r *request, data []byte) ([]byte, error) {
	if !r.config || !s.subjects.canBePrivate(r.stream) {
		return data, nil
	}
	config, err := configOf(r.name, data)
	if err != nil {
		return nil, errInvalidJSON
	}
	if err := s.subjects.hide(r.stream, config); err != nil {
		return nil, invalidConfig(err)
	}
	if r.name != opRestoreStream {
		return json.Marshal(config)
	}
	whole, err := parseObject(data)
	if err != nil {
		return nil, errInvalidJSON
	}
	whole.set(memberConfig, config)
	return json.Marshal(whole)
}

// find answers a request for the streams that store a subject.
func (s *Service) find(r *request, filter string, offset int) ([]byte, error) {
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
		case matches && r.name == nameStreams:
			found = append(found, name)
		case matches:
			found = append(found, o)
		}
	}
	offset = min(offset, len(found))
	answer.set("type", r.answerType())
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
