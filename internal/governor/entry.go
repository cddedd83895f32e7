package governor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go"
)

// apiError is an error in an answer of JetStream.
type apiError struct {
	Code        int    `json:"code"`
	ErrorCode   int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrorCode) }

// codes of JetStream's errors.
const (
	codeFull         = 10077 // maximum messages exceeded: the governor has no free slot
	codeNoMessage    = 10037
	codeNoStream     = 10059
	codeNotAvailable = 10008
)

// Errors that requests are answered with.
var (
	errUnavailable = &apiError{http.StatusServiceUnavailable, codeNotAvailable, "JetStream system temporarily unavailable"}
	errNameSize    = &apiError{http.StatusBadRequest, 10054, "message size exceeds maximum allowed"}
)

// ack is JetStream's answer to a message that was published to a stream.
type ack struct {
	Error    *apiError `json:"error,omitempty"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"seq"`
}

// errorAck returns an ack with an error.
func errorAck(stream string, err *apiError) []byte {
	data, _ := json.Marshal(ack{Error: err, Stream: stream}) // a struct of texts and numbers
	return data
}

// emptyHeader is a header block without headers.
var emptyHeader = inproc.Begin(nil).End()

// noResponders returns the headers of the server's answer if nothing is subscribed to a subject.
func noResponders(subject string) []byte {
	return fmt.Appendf(nil, "NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n", subject)
}

// entry is a message in the stream of a governor.
type entry struct {
	sequence uint64
	slotKey
	connection string // that has made it, as in contract.HeaderConnection
}

// slotKey is what the entries of one watcher have in common.
type slotKey struct{ identity, name string }

// watcherName matches the names under which Choria's watchers enter. `choria governor run` enters as its identity.
var watcherName = regexp.MustCompile(`^Auto Agent .+#.+ @ .+$`)

// isWatcher reports whether the name is that of a watcher.
func (k slotKey) isWatcher() bool { return watcherName.MatchString(k.name) }

// header returns the headers of an entry.
func (e *entry) header() nats.Header {
	return nats.Header{contract.HeaderIdentity: {e.identity}, contract.HeaderConnection: {e.connection}}
}

// parseConnection splits a connection into the server process and its number there.
func parseConnection(text string) (server string, id uint64) {
	server, number, _ := strings.Cut(text, "/")
	id, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return "", 0
	}
	return server, id
}

// call sends a request to JetStream's API and decodes the answer. JetStream's errors are *apiError.
func (g *Gate) call(ctx context.Context, operation string, request, answer any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if data, err = g.opts.Request(ctx, operation, data); err != nil {
		return err
	}
	var failed struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(data, &failed); err != nil {
		return err
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(data, answer)
}

// next returns the first entry of a stream from a sequence on; nil: there is none.
func (g *Gate) next(ctx context.Context, stream string, sequence uint64) (*entry, error) {
	var answer struct {
		Message struct {
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	err := g.call(ctx, "STREAM.MSG.GET."+stream, map[string]any{"seq": sequence, "next_by_subj": ">"}, &answer)
	if isCode(err, codeNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := answer.Message
	e := &entry{sequence: m.Sequence, slotKey: slotKey{name: string(m.Data)}}
	if len(m.Header) > 0 {
		header, err := nats.DecodeHeadersMsg(m.Header)
		if err != nil {
			return nil, fmt.Errorf("read the headers of message %d of %s: %w", m.Sequence, stream, err)
		}
		e.identity, e.connection = header.Get(contract.HeaderIdentity), header.Get(contract.HeaderConnection)
	}
	return e, nil
}

// remove deletes an entry.
func (g *Gate) remove(ctx context.Context, stream string, sequence uint64) error {
	request := map[string]any{"seq": sequence, "no_erase": true}
	return g.call(ctx, "STREAM.MSG.DELETE."+stream, request, &struct{}{})
}

// isCode reports whether an error is JetStream's with that code.
func isCode(err error, code int) bool {
	var refused *apiError
	return errors.As(err, &refused) && refused.ErrorCode == code
}
