package console

import (
	"net/http"
	"strings"
)

// withoutCORS removes the headers with which the NATS server allows every web page to read its
// answers.
func withoutCORS(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { next(&corsFilter{ResponseWriter: w}, r) }
}

type corsFilter struct {
	http.ResponseWriter
	begun bool // the header is sent
}

// WriteHeader sends the header without those of CORS.
func (f *corsFilter) WriteHeader(status int) {
	for name := range f.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			f.Header().Del(name)
		}
	}
	f.begun = true
	f.ResponseWriter.WriteHeader(status)
}

// Write sends the header first, if it is not sent yet.
func (f *corsFilter) Write(p []byte) (int, error) {
	if !f.begun {
		f.WriteHeader(http.StatusOK)
	}
	return f.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (f *corsFilter) Unwrap() http.ResponseWriter { return f.ResponseWriter }
