// Package wait polls for tests: Eventually is the only place where a test waits for a
// condition. It imports nothing of the project, so that tests of any layer can use it.
package wait

import (
	"testing"
	"time"
)

// Limit is how long Eventually waits; a healthy run needs a fraction of it.
const Limit = 30 * time.Second

// interval is the pause between two tries.
const interval = 10 * time.Millisecond

// Eventually calls try until it returns nil, and fails the test with the last error once
// Limit is over.
func Eventually(tb testing.TB, try func() error) {
	tb.Helper()
	deadline := time.Now().Add(Limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("still not after %s: %v", Limit, err)
		}
		time.Sleep(interval)
	}
}
