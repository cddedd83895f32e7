package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// requireToken admits requests that carry the token as a bearer token, see RFC 6750. With an empty
// token it admits all requests. It compares hashes, so that the time of a comparison reveals nothing
// about the token. refuse receives the other requests; their connections are closed, so that a
// client without the token cannot keep them.
func requireToken(token string, refuse func(reason string, r *http.Request), next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		have := sha256.Sum256([]byte(given))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(have[:], want[:]) != 1 {
			refuse(CodeUnauthorized, r)
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.Header().Set("Connection", "close")
			writeError(w, CodeUnauthorized, "the console requires its token, and the request has none or a wrong one")
			return
		}
		next.ServeHTTP(w, r)
	})
}
