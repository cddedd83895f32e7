// Package puback reads JetStream's acks of published messages, and says what they mean for the publisher: the message
// is in the stream, a later attempt may succeed, or the stream will never store it. It has no I/O.
package puback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/muster-appliance/muster/internal/contract"
)

// Errors of a publish that has no ack.
var (
	ErrNoAck        = errors.New("no ack from the stream")
	ErrNoResponders = errors.New("no stream stores the subject")
	ErrTooLarge     = errors.New("message is larger than the server's max_payload")
)

// noResponders is the status of the message that the server sends to the reply subject when nothing listens to the
// subject.
const noResponders = "503"

// API error codes of JetStream. See https://github.com/nats-io/nats-server/blob/main/server/errors.json.
const (
	codeAccountResources = 10002
	codeTooLarge         = 10054
	codeInProcess        = 10158 // the message of an earlier attempt is being stored
)

// Ack is JetStream's ack of a published message, or the error of a publish without one. Its zero value is not an ack.
type Ack struct {
	Stream    string `json:"stream"`
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"` // the stream has the message id already
	Error     *Error `json:"error"`     // the stream did not store the message

	Err error `json:"-"` // the publish had no ack; the other fields are empty
}

// Error is an error that JetStream's API returned.
type Error struct {
	Code        int    `json:"code"`     // as in HTTP
	ErrCode     int    `json:"err_code"` // which error it is
	Description string `json:"description"`
}

// Parse reads an ack from the status (the code in the first line of the headers, usually empty) and the data of a
// message. Data that is not an ack is an Ack with an Error. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-22.md.
func Parse(status string, data []byte) Ack {
	if status == noResponders {
		return Ack{Err: ErrNoResponders}
	}
	if stream, sequence, ok := parsePlain(data); ok {
		return Ack{Stream: stream, Sequence: sequence}
	}
	var ack Ack
	if err := json.Unmarshal(data, &ack); err != nil {
		ack.Error = &Error{Description: fmt.Sprintf("%.64q is not a valid ack", data)}
	} else if ack.Error == nil && ack.Stream == "" {
		ack.Error = &Error{Description: "the ack does not name a stream"}
	}
	return ack
}

// parsePlain reads the form that nearly every ack has, {"stream":"NAME","seq":1}, in a tenth of
// the time that encoding/json takes. It reports false for every other form.
func parsePlain(data []byte) (stream string, sequence uint64, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	name, rest, found := bytes.Cut(rest, []byte(`","seq":`))
	number, complete := bytes.CutSuffix(rest, []byte("}"))
	if !ok || !found || !complete || len(name) == 0 || bytes.ContainsAny(name, `"\`) {
		return "", 0, false
	}
	sequence, err := strconv.ParseUint(string(number), 10, 64)
	return string(name), sequence, err == nil
}

// InStream reports whether the message is in the stream, stored now or before (Duplicate).
func (a Ack) InStream() bool { return a.Err == nil && a.Error == nil }

// Retryable reports whether a later attempt could succeed: there was no ack, or a resource is
// exhausted that may be free again.
func (a Ack) Retryable() bool {
	if a.Err != nil {
		return !errors.Is(a.Err, ErrTooLarge)
	}
	if a.Error == nil {
		return false
	}
	return a.Error.Code == http.StatusServiceUnavailable || a.Error.Code == http.StatusTooManyRequests ||
		a.Error.ErrCode == codeAccountResources || a.Error.ErrCode == codeInProcess
}

// Reason returns why the message is rejected, ReasonTooLarge or ReasonRefused. It must not be called if the message is
// stored or the ack is retryable: the only Err that is not retryable is ErrTooLarge.
func (a Ack) Reason() string {
	if a.Err != nil || a.Error.ErrCode == codeTooLarge {
		return contract.ReasonTooLarge
	}
	return contract.ReasonRefused
}

// Detail returns the error in words; it is empty if the message is stored.
func (a Ack) Detail() string {
	switch {
	case a.Err != nil:
		return a.Err.Error()
	case a.Error != nil:
		return fmt.Sprintf("%s (%d)", a.Error.Description, a.Error.ErrCode)
	default:
		return ""
	}
}
