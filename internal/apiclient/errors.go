package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/muster-appliance/muster/console"
)

// Error is an error that the console answered with.
type Error struct {
	Code    string // one of the console's codes, such as console.CodeNotFound
	Message string // a sentence
	Status  int    // of HTTP
}

func (e *Error) Error() string { return e.Message }

// HasCode reports whether err is, or wraps, an Error with this code.
func HasCode(err error, code string) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.Code == code
}

// Kind is what kept the console from answering.
type Kind int

// Kinds of a ConnectionError.
const (
	Unreachable     Kind = iota // no connection, or it ended before an answer
	Timeout                     // connected, but no answer in time
	NotHTTP                     // the server uses another protocol
	ServerUsesHTTPS             // the URL is http://, and the server uses HTTPS
	NotConsole                  // an HTTP server that is not the console of an appliance
)

// ConnectionError reports that no console answered at a URL.
type ConnectionError struct {
	Kind    Kind
	URL     string
	Timeout time.Duration // of kind Timeout
	Status  string        // of kind NotConsole: the answer's HTTP status; empty: 200
	Err     error         // nil for ServerUsesHTTPS and NotConsole
}

func (e *ConnectionError) Unwrap() error { return e.Err }

func (e *ConnectionError) Error() string {
	switch e.Kind {
	case Timeout:
		return fmt.Sprintf("the console at %s did not answer within %s: the appliance hangs or is overloaded",
			e.URL, e.Timeout)
	case NotHTTP:
		return fmt.Sprintf("the server at %s does not use HTTP", e.URL)
	case ServerUsesHTTPS:
		return fmt.Sprintf("the console at %s uses HTTPS", e.URL)
	case NotConsole:
		if e.Status != "" {
			return fmt.Sprintf("%s answered %s; is it the console of an appliance?", e.URL, e.Status)
		}
		return fmt.Sprintf("%s gave an unexpected answer; is it the console of an appliance?", e.URL)
	default:
		return fmt.Sprintf("no appliance answers at %s (%v)", e.URL, e.Err)
	}
}

// ErrIncomplete reports that the connection ended in the middle of an answer.
var ErrIncomplete = errors.New("the answer ended early")

// asIncomplete returns ErrIncomplete for an answer that ended early, and any other error as it is.
func asIncomplete(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrIncomplete
	}
	return err
}

// connectionError says why a request got no answer.
func (c *Client) connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err // the caller gave up
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // without the method and the URL, which the sentence has
	}
	var network net.Error
	kind := Unreachable
	switch {
	case errors.As(err, &network) && network.Timeout():
		kind = Timeout
	case isNotHTTP(err):
		kind = NotHTTP
	}
	return &ConnectionError{Kind: kind, URL: c.opts.URL, Timeout: c.opts.Timeout, Err: err}
}

// isNotHTTP reports whether a server answered in another protocol. net/http exports no errors for
// it. The second text is the error when the server sends first, as a NATS server does; the wrong
// format verb in it is a mistake of net/http.
func isNotHTTP(err error) bool {
	return strings.Contains(err.Error(), "malformed HTTP") ||
		strings.Contains(err.Error(), "readLoopPeekFailLocked: %!w(<nil>)")
}

// readError turns an answer that is an error into an Error, or into a ConnectionError when it does
// not come from the API.
func readError(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	at := response.Request.URL
	// The sentence of net/http's server, which exports no constant for it.
	if strings.Contains(string(text), "HTTP request to an HTTPS server") {
		return &ConnectionError{Kind: ServerUsesHTTPS, URL: at.Scheme + "://" + at.Host}
	}
	var answer console.Error
	if err := json.Unmarshal(text, &answer); err != nil || answer.Message == "" {
		return &ConnectionError{Kind: NotConsole, URL: at.String(), Status: response.Status}
	}
	return &Error{Code: answer.Code, Message: answer.Message, Status: response.StatusCode}
}
