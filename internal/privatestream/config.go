package privatestream

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/subject"
)

// errTransform is returned for a configuration under which the token would be stored in subjects.
var errTransform = errors.New("subject_transform must cover all subjects of the stream, " +
	"and only the appliance may publish to them")

// everything is the subject that matches every other one.
const everything = ">"

// Names of fields in the JSON of a stream's configuration.
const (
	fieldSubjects  = "subjects"
	fieldTransform = "subject_transform"
)

// object is a JSON object. Members that this package does not know are kept as they are.
type object map[string]json.RawMessage

// parseObject reads a JSON object. It changes the names of members to lower case: NATS ignores
// their case.
func parseObject(data []byte) (object, error) {
	var read object
	if err := json.Unmarshal(data, &read); err != nil {
		return nil, err
	}
	o := make(object, len(read))
	for name, value := range read {
		o[strings.ToLower(name)] = value
	}
	return o, nil
}

// get decodes a member into v. A missing member changes nothing.
func (o object) get(name string, v any) error {
	if value, ok := o[name]; ok {
		return json.Unmarshal(value, v)
	}
	return nil
}

// set stores a member. It panics if v is not valid JSON.
func (o object) set(name string, v any) {
	value, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	o[name] = value
}

// transform is the subject_transform of a stream.
type transform struct {
	Source      string `json:"src"`
	Destination string `json:"dest"`
}

// listening is the part of a stream's configuration that decides what the stream stores, and under
// which subjects.
type listening struct {
	subjects  []string
	transform *transform // nil: messages are stored under the subjects to which they were published
}

func (o object) listening() (l listening, err error) {
	err = errors.Join(o.get(fieldSubjects, &l.subjects), o.get(fieldTransform, &l.transform))
	return l, err
}

func (o object) setListening(l listening) {
	delete(o, fieldTransform)
	if len(l.subjects) > 0 {
		o.set(fieldSubjects, l.subjects)
	}
	if l.transform != nil {
		o.set(fieldTransform, l.transform)
	}
}

func (l listening) equal(other listening) bool {
	sameTransform := l.transform == other.transform ||
		l.transform != nil && other.transform != nil && *l.transform == *other.transform
	return sameTransform && slices.Equal(l.subjects, other.subjects)
}

// public returns what readers see, and whether that differs.
func (l listening) public() (shown listening, differs bool) {
	names, found := public(l.subjects)
	if !found {
		return l, false
	}
	shown = listening{names, l.transform}
	if l.transform != nil {
		source, _ := withoutToken(l.transform.Source)
		shown.transform = &transform{source, l.transform.Destination}
		if *shown.transform == (transform{everything, everything}) {
			shown.transform = nil
		}
	}
	return shown, true
}

// listening returns what the stream with that name listens to if its public subjects are those of l. The
// transform removes the token, so that it is not stored.
func (s *subjects) listening(stream string, l listening) (listening, error) {
	l, _ = l.public()
	outputs := s.of(stream, l.subjects)
	private := listening{outputs.private(s.prefix, l.subjects), l.transform}
	if !slices.ContainsFunc(l.subjects, outputs.overlaps) {
		return l, nil
	}
	if l.transform == nil {
		private.transform = &transform{s.prefix + everything, everything}
		return private, nil
	}
	if err := CheckTransform(outputs, l.subjects, l.transform.Source); err != nil {
		return listening{}, err
	}
	private.transform = &transform{s.prefix + l.transform.Source, l.transform.Destination}
	return private, nil
}

// CheckTransform returns an error if a private stream with these public subjects would store the write token
// because the source of its subject_transform does not cover them all. An empty source stands for none.
func CheckTransform(private outputList, names []string, source string) error {
	for _, name := range names {
		if source != "" && (!private.covers(name) || !subject.Covers(source, name)) {
			return errTransform
		}
	}
	return nil
}

// show returns the configuration of a stream as readers see it.
func show(config json.RawMessage) (json.RawMessage, error) {
	o, err := parseObject(config)
	if err != nil {
		return nil, err
	}
	l, err := o.listening()
	if err != nil {
		return nil, err
	}
	shown, differs := l.public()
	if !differs {
		return config, nil
	}
	o.setListening(shown)
	return json.Marshal(o)
}

// hide puts into the configuration of a stream what it listens to.
func (s *subjects) hide(stream string, config object) error {
	l, err := config.listening()
	if err != nil {
		return err
	}
	hidden, err := s.listening(stream, l)
	if err != nil {
		return err
	}
	config.setListening(hidden)
	return nil
}
