package privatestream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go"
)

// requestInfo is the header with which the server describes the connection that sent a request.
// See ClientInfo in https://github.com/nats-io/nats-server/blob/main/server/events.go.
const requestInfo = "Nats-Request-Info"

// rawAPI is JetStream's API, with configurations that have the write token. It uses the system
// account, where no client sees requests and answers.
type rawAPI struct {
	nc      *nats.Conn
	account string // of the streams
}

// apiError is an error in an answer of JetStream.
type apiError struct {
	Code        int    `json:"code"`
	ErrorCode   int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrorCode) }

// Errors that the service answers with, as JetStream would.
var (
	errUnavailable = &apiError{http.StatusServiceUnavailable, 10008, "JetStream system temporarily unavailable"}
	errRequestSize = &apiError{http.StatusBadRequest, 10003, "the request is too large"}
	errAnswerSize  = &apiError{http.StatusInternalServerError, 10049, "the answer is larger than max_payload"}
)

// invalidConfig returns the error of a configuration that cannot be used.
func invalidConfig(err error) *apiError {
	return &apiError{http.StatusBadRequest, 10052, err.Error()}
}

// request sends a request and returns the answer, which may be an error. The operation is the rest of
// a subject after "$JS.API.". JetStream's advisories name the peer.
func (r rawAPI) request(ctx context.Context, operation string, from inproc.Peer, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	info, err := json.Marshal(map[string]any{"acc": r.account, "id": from.ID, "user": from.User, "name": from.Name})
	if err != nil {
		return nil, err
	}
	answer, err := r.nc.RequestMsgWithContext(ctx, &nats.Msg{
		Subject: contract.SubjectRawAPI + operation, Header: nats.Header{requestInfo: {string(info)}}, Data: data,
	})
	if err != nil {
		return nil, err
	}
	return answer.Data, nil
}

// page is the answer to a request for a list of streams. The elements are names or objects.
type page struct {
	Total   int               `json:"total"`
	Streams []json.RawMessage `json:"streams"`
	Error   *apiError         `json:"error"`
}

// list returns the information of every stream, and the members of an answer beside them.
func (r rawAPI) list(ctx context.Context) (all []json.RawMessage, members object, err error) {
	for {
		data, err := json.Marshal(map[string]int{"offset": len(all)})
		if err != nil {
			return nil, nil, err
		}
		if data, err = r.request(ctx, listStreams, inproc.Peer{}, data); err != nil {
			return nil, nil, err
		}
		var p page
		if members, err = parseObject(data); err == nil {
			err = json.Unmarshal(data, &p)
		}
		switch {
		case err != nil:
			return nil, nil, err
		case p.Error != nil:
			return nil, nil, p.Error
		}
		all = append(all, p.Streams...)
		if len(p.Streams) == 0 || len(all) >= p.Total {
			return all, members, nil
		}
	}
}

// update changes the configuration of a stream.
func (r rawAPI) update(ctx context.Context, stream string, config object) error {
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if data, err = r.request(ctx, "STREAM.UPDATE."+stream, inproc.Peer{}, data); err != nil {
		return err
	}
	var answer struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// existing is a stream, as JetStream has it.
type existing struct {
	name   string
	config object
	listening
}

// streams returns every stream.
func (r rawAPI) streams(ctx context.Context) ([]existing, error) {
	infos, _, err := r.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	var all []existing
	for _, data := range infos {
		var info struct {
			Config json.RawMessage `json:"config"`
		}
		err := json.Unmarshal(data, &info)
		var e existing
		if err == nil {
			e.config, err = parseObject(info.Config)
		}
		if err == nil {
			e.listening, err = e.config.listening()
		}
		if err = errors.Join(err, e.config.get("name", &e.name)); err != nil {
			return nil, fmt.Errorf("read the configuration of a stream: %w", err)
		}
		all = append(all, e)
	}
	return all, nil
}
