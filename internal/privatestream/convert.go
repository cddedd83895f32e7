package privatestream

import (
	"context"
	"errors"
	"slices"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
)

// convert makes the existing streams listen to the subjects that they should, before any message is
// published. It changes nothing else of them, so no message is deleted. An output stays public, until the
// next start, if its stream cannot be changed, or if only an undeclared stream stores it: its messages
// must be stored.
func (s *Service) convert(ctx context.Context) error {
	streams, err := s.raw.streams(ctx)
	if err != nil {
		return err
	}
	s.keepPublic(streams)
	s.narrowAdvisories(ctx, streams)
	for again := true; again; {
		again = false
		for i := range streams {
			again = s.convertStream(ctx, &streams[i]) || again
		}
	}
	return nil
}

// keepPublic makes the outputs public that an undeclared stream stores, and none of the existing
// private streams.
func (s *Service) keepPublic(streams []existing) {
	storedBy := func(output string, matches func(name string) bool) string {
		for _, e := range streams {
			names, _ := public(e.subjects)
			overlaps := func(name string) bool { return subject.Overlap(output, name) }
			if matches(e.name) && slices.ContainsFunc(names, overlaps) {
				return e.name
			}
		}
		return ""
	}
	isPrivate := func(name string) bool { return slices.Contains(s.opts.Streams, name) }
	isUndeclared := func(name string) bool { return !slices.Contains(s.opts.Declared, name) }
	s.subjects.outputs = slices.DeleteFunc(s.subjects.outputs, func(output string) bool {
		undeclared := storedBy(output, isUndeclared)
		if undeclared == "" || storedBy(output, isPrivate) != "" {
			return false
		}
		s.logUnprotected(undeclared, errUndeclared)
		return true
	})
}

// errUndeclared is why an undeclared stream is not protected.
var errUndeclared = errors.New("it is not declared")

// logUnprotected logs that a stream stores forged replies too.
func (s *Service) logUnprotected(stream string, err error) {
	s.opts.Log.Warn("stream is not protected from forged replies until the next start", "stream", stream, "error", err)
}

// narrowAdvisories makes the declared streams not store the requests and answers of JetStream's API:
// they contain the write token. If that is not possible, everything stays public: without the token.
func (s *Service) narrowAdvisories(ctx context.Context, streams []existing) {
	for i := range streams {
		e := &streams[i]
		stores := func(name string) bool { return subject.Overlap(name, contract.SubjectAPIAdvisory) }
		if !slices.ContainsFunc(e.subjects, stores) {
			continue
		}
		if !slices.Contains(s.opts.Declared, e.name) {
			s.opts.Log.Warn("undeclared stream stores requests to JetStream with the write token",
				"stream", e.name, "hint", "remove "+contract.SubjectAPIAdvisory+" from its subjects, or declare it")
			continue
		}
		want := listening{append(slices.DeleteFunc(slices.Clone(e.subjects), stores), contract.SubjectsAdvisory), e.transform}
		if err := s.change(ctx, e, want); err != nil {
			s.subjects.outputs = nil
			s.logUnprotected(e.name, err)
		}
	}
}

// convertStream makes a stream listen to what it should. If that is not possible, it makes the stream's outputs
// public, and reports whether there were any: the other streams must then be converted again.
func (s *Service) convertStream(ctx context.Context, e *existing) (again bool) {
	want, err := s.subjects.listening(e.name, e.listening)
	if err == nil {
		err = s.change(ctx, e, want)
	}
	if err == nil {
		return false
	}
	s.logUnprotected(e.name, err)
	shown, _ := e.public()
	return s.subjects.remove(shown.subjects)
}

// change updates what a stream listens to, unless that is the same already.
func (s *Service) change(ctx context.Context, e *existing, want listening) error {
	if e.equal(want) {
		return nil
	}
	e.config.setListening(want)
	if err := s.raw.update(ctx, e.name, e.config); err != nil {
		e.config.setListening(e.listening)
		return err
	}
	e.listening = want
	return nil
}
