package console

import (
	"encoding/json"
	"net/http"
)

// Codes of API errors. They are stable: programs decide by the code, people read the sentence
// beside it. docs/api.md lists them.
const (
	CodeBadRequest       = "bad-request"        // a parameter is unknown, misspelled or out of range
	CodeUnauthorized     = "unauthorized"       // the token is missing or wrong
	CodeUnknownHost      = "unknown-host"       // the request is for a host that is not this console
	CodeNotFound         = "not-found"          // no such node, or no such endpoint
	CodeAmbiguousNode    = "ambiguous-node"     // several sites have a node of that name
	CodeFleetDisabled    = "fleet-disabled"     // the appliance keeps no fleet view
	CodeMethodNotAllowed = "method-not-allowed" // neither GET nor HEAD
	CodeTooManyFollowers = "too-many-followers" // the maximum number of clients follows events already
	CodeUnavailable      = "unavailable"        // a stream cannot be read; try again
)

// status returns the HTTP status of a code.
func status(code string) int {
	switch code {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeUnknownHost:
		return http.StatusMisdirectedRequest
	case CodeNotFound, CodeFleetDisabled:
		return http.StatusNotFound
	case CodeAmbiguousNode:
		return http.StatusConflict
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeTooManyFollowers, CodeUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// Error is the body of an answer that is an error.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"error"` // a sentence

	Sites []string `json:"sites,omitempty"` // with CodeAmbiguousNode: those that have such a node
}

// writeError answers with an Error and the status of its code.
func writeError(w http.ResponseWriter, code, message string) {
	Error{Code: code, Message: message}.write(w)
}

func (e Error) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status(e.Code))
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e) // fails only when the client is gone
}
