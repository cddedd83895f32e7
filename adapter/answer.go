package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go/jetstream"
)

// What can come instead of an answer.
var (
	errNoAnswer     = errors.New("no answer from the stream")
	errNoResponders = errors.New("no stream takes the subject")
)

// API error codes of JetStream that nats.go has no name for.
// See https://github.com/nats-io/nats-server/blob/main/server/errors.json.
const (
	codeAccountResources jetstream.ErrorCode = 10002
	codeTooLarge         jetstream.ErrorCode = 10054
	codeInProcess        jetstream.ErrorCode = 10158 // our own earlier attempt is being stored
)

// answer is what JetStream said to a message.
type answer struct {
	Stream    string              `json:"stream"`
	Sequence  uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Error     *jetstream.APIError `json:"error"`

	err error // there was no answer
}

// readAnswer takes an acknowledgement apart. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-22.md.
func readAnswer(status string, data []byte) answer {
	var a answer
	if status == inproc.NoResponders {
		return answer{err: errNoResponders}
	}
	if stream, sequence, ok := plainAnswer(data); ok {
		return answer{Stream: stream, Sequence: sequence}
	}
	if err := json.Unmarshal(data, &a); err != nil {
		a.Error = &jetstream.APIError{Description: fmt.Sprintf("answer %.64q is no acknowledgement", data)}
	} else if a.Error == nil && a.Stream == "" {
		a.Error = &jetstream.APIError{Description: "the answer names no stream"}
	}
	return a
}

// plainAnswer reads what nearly every answer is, {"stream":"NAME","seq":1}, where JSON takes
// ten times as long. Any other form is left to that.
func plainAnswer(text []byte) (stream string, sequence uint64, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(`{"stream":"`))
	name, rest, found := bytes.Cut(rest, []byte(`","seq":`))
	number, end := bytes.CutSuffix(rest, []byte("}"))
	if !ok || !found || !end || len(name) == 0 || bytes.ContainsAny(name, `"\`) {
		return "", 0, false
	}
	sequence, err := strconv.ParseUint(string(number), 10, 64)
	return string(name), sequence, err == nil
}

// stored tells whether the message is in the stream.
func (a answer) stored() bool { return a.err == nil && a.Error == nil }

// retry tells whether the same message may be taken later: nobody answered, or something
// is short that may be there again.
func (a answer) retry() bool {
	if a.err != nil {
		return !errors.Is(a.err, inproc.ErrTooLarge)
	}
	if a.Error == nil {
		return false
	}
	return a.Error.Code == http.StatusServiceUnavailable || a.Error.Code == http.StatusTooManyRequests ||
		a.Error.ErrorCode == codeAccountResources || a.Error.ErrorCode == codeInProcess
}

// reason is why the message is rejected, where it is neither stored nor to be retried.
func (a answer) reason() string {
	if a.err != nil || a.Error.ErrorCode == codeTooLarge {
		return contract.ReasonTooLarge
	}
	return contract.ReasonRefused
}

// detail is the answer in words.
func (a answer) detail() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.Error != nil:
		return fmt.Sprintf("%s (%d)", a.Error.Description, a.Error.ErrorCode)
	default:
		return ""
	}
}
