package choria

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// failedSize is the number of certificates, and of tokens, refused by a verifier, that are remembered.
	failedSize = 1 << 13
	// failedFor is how long a certificate or token stays refused without being verified again.
	failedFor = time.Minute
	// maxFailedText is how much of the text of an error is kept, in bytes.
	maxFailedText = 256
)

// digest identifies a certificate or token: the SHA-256 of its text or its bytes.
type digest = [sha256.Size]byte

// newCache returns a cache that keeps the entries used last.
func newCache[V any](size int) *lru.Cache[digest, V] {
	cache, err := lru.New[digest, V](size)
	if err != nil {
		panic(err) // the only error is a size below 1
	}
	return cache
}

// failures remembers for failedFor which certificates or tokens were refused, and why. It does not
// refer to them: they may be large. It is safe for concurrent use.
type failures struct{ cache *lru.Cache[digest, failure] }

// failure is why a certificate or token was refused.
type failure struct {
	err   error
	at    time.Time
	trust *trust // what it was verified with; nil for tokens
}

func newFailures() failures { return failures{newCache[failure](failedSize)} }

// get returns why the certificate or token was refused, or nil if it must be verified: it was not
// refused, or long ago, or with another trust.
func (f failures) get(key digest, now time.Time, with *trust) error {
	known, ok := f.cache.Get(key)
	if !ok || known.trust != with || now.Before(known.at) || !now.Before(known.at.Add(failedFor)) {
		return nil
	}
	return known.err
}

// add remembers an error, and returns it with a text of limited length.
func (f failures) add(key digest, err error, now time.Time, with *trust) error {
	text := err.Error()
	for _, reason := range []error{ErrExpired, ErrLimit, ErrRevoked, ErrUntrusted} {
		if errors.Is(err, reason) {
			text = strings.TrimPrefix(text, reason.Error()+": ")
			err = fmt.Errorf("%w: %s", reason, strings.Clone(text[:min(len(text), maxFailedText)]))
			break
		}
	}
	f.cache.Add(key, failure{err, now, with})
	return err
}
