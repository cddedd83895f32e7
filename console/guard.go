package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// guard admits requests that carry the token as a bearer token, see RFC 6750. Without a token it
// admits all. It compares hashes, so that the time it takes reveals nothing of the token.
func guard(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		have := sha256.Sum256([]byte(given))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(have[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, CodeUnauthorized, "the console requires its token, and the request has none or a wrong one")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// renewed is a certificate that is read again for each connection, of which a console has
// few: what replaces the files counts at once. What cannot be used is said, and the last
// that could be stays.
type renewed struct {
	files TLS
	log   hclog.Logger

	mu     sync.Mutex
	last   *tls.Certificate
	failed string
}

// expires is the end of the certificate in use; zero where nobody has connected yet.
func (r *renewed) expires() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || r.last.Leaf == nil {
		return time.Time{}
	}
	return r.last.Leaf.NotAfter
}

func (r *renewed) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	read, err := tls.LoadX509KeyPair(r.files.Cert, r.files.Key)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.last, r.failed = &read, ""
	case r.last == nil:
		return nil, err
	case err.Error() != r.failed:
		r.failed = err.Error()
		r.log.Error("certificate not read again, the one before stays in use", "error", err)
	}
	return r.last, nil
}
