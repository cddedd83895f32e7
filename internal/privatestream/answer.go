package privatestream

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// Members of answers.
const (
	memberConfig   = "config"
	memberStreams  = "streams"
	memberState    = "state"
	memberSubjects = "subjects" // of the state: the number of messages by subject
)

// maxStreams is the largest number of streams in an answer; JetStream's own is the same.
const maxStreams = 256

// show replaces the configurations in an answer by what readers see.
func (o object) show() error {
	if config, ok := o[memberConfig]; ok {
		shown, err := show(config)
		if err != nil {
			return err
		}
		o[memberConfig] = shown
	}
	streams, err := o.streams()
	if err != nil || len(streams) == 0 {
		return err
	}
	for i, stream := range streams {
		if !bytes.HasPrefix(stream, []byte("{")) { // a name
			continue
		}
		info, err := parseObject(stream)
		if err != nil {
			return err
		}
		if err := info.show(); err != nil {
			return err
		}
		if streams[i], err = json.Marshal(info); err != nil {
			return err
		}
	}
	o.set(memberStreams, streams)
	return nil
}

// streams returns the elements of a list of streams: objects, or names.
func (o object) streams() (all []json.RawMessage, err error) {
	return all, o.get(memberStreams, &all)
}

// fit returns an answer of at most MaxPayload bytes. JetStream's own answers have no limit, but those of a
// connection do. A list ends earlier, and the client asks for the next page.
func (s *Service) fit(answer object) ([]byte, error) {
	data, err := json.Marshal(answer)
	for limit := maxPage; err == nil && int64(len(emptyHeader)+len(data)) > s.opts.MaxPayload; limit /= 2 {
		if limit == 0 {
			return nil, errAnswerSize
		}
		if err := answer.shorten(limit); err != nil {
			return nil, err
		}
		data, err = json.Marshal(answer)
	}
	return data, err
}

// maxPage is the most elements that one page of an answer has: JetStream's largest page of subjects.
const maxPage = 100_000

// shorten cuts the lists of an answer after so many elements. Subjects are sorted, as on JetStream's own
// pages.
func (o object) shorten(limit int) error {
	streams, err := o.streams()
	if err != nil {
		return err
	}
	if len(streams) > limit {
		o.set(memberStreams, streams[:limit])
		o.set("limit", limit)
	}
	var state object
	if err := o.get(memberState, &state); err != nil || state == nil {
		return err
	}
	var counts map[string]json.RawMessage
	if err := state.get(memberSubjects, &counts); err != nil || len(counts) <= limit {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(counts))[limit:] {
		delete(counts, name)
	}
	state.set(memberSubjects, counts)
	o.set(memberState, state)
	o.set("limit", limit)
	return nil
}
