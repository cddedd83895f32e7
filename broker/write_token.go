package broker

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/muster-appliance/muster/internal/contract"
)

// withoutToken returns the text with public subjects in place of those with the write token.
func withoutToken(text []byte, token string) []byte {
	if token == "" || !bytes.Contains(text, []byte(token)) {
		return text
	}
	text = bytes.ReplaceAll(text, []byte(contract.WritePrefix(token)), nil)
	return bytes.ReplaceAll(text, []byte(token), []byte("TOKEN"))
}

// maxPageItems is how many connections or subscriptions a page of NATS has at most.
const maxPageItems = 10_000

// limitPage lowers the limit that a request names to maxPageItems.
func limitPage(r *http.Request) {
	query := r.URL.Query()
	if n, err := strconv.Atoi(query.Get("limit")); err == nil && n > maxPageItems {
		query.Set("limit", strconv.Itoa(maxPageItems))
		r.URL.RawQuery = query.Encode()
	}
}

// maxPages is how many answers of NATS are made at the same time: each is in memory as a whole.
const maxPages = 4

// hideToken returns a handler that answers as h does, without the write token.
func (b *Broker) hideToken(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := &bufferedAnswer{header: w.Header(), status: http.StatusOK}
		h(answer, r)
		w.WriteHeader(answer.status)
		_, _ = w.Write(withoutToken(answer.body.Bytes(), b.opts.WriteToken)) // fails if the client is gone
	}
}

// inTurn returns a handler that waits for its turn, and whose answers have at most maxPageItems items.
func (b *Broker) inTurn(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limitPage(r)
		select {
		case b.pages <- struct{}{}:
			defer func() { <-b.pages }()
			h(w, r)
		case <-r.Context().Done():
		}
	}
}

// bufferedAnswer is an http.ResponseWriter that keeps the body.
type bufferedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the header of the answer.
func (a *bufferedAnswer) Header() http.Header { return a.header }

// Write appends to the body.
func (a *bufferedAnswer) Write(data []byte) (int, error) { return a.body.Write(data) }

// WriteHeader sets the status.
func (a *bufferedAnswer) WriteHeader(status int) { a.status = status }

// denyToken denies a client to subscribe to what has the write token: the subjects with it and, unless the
// client may see JetStream's advisories, the requests to JetStream's API.
func (b permissionBuilder) denyToken(s *subjects, seesAdvisories bool) {
	s.neverSubscribe = append(s.neverSubscribe, contract.SubjectWrite+">")
	if !seesAdvisories {
		s.neverSubscribe = append(s.neverSubscribe, contract.SubjectAPIAdvisory)
	}
}
