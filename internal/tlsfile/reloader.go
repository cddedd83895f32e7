package tlsfile

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
)

const (
	// WarnBefore is how long before it expires a certificate is worth a warning.
	WarnBefore   = 30 * 24 * time.Hour
	warnInterval = 24 * time.Hour
)

// Reloader holds the content of files, and loads them again when they have changed. It keeps
// the last content that could be used. It has no goroutine: its owner calls Refresh. It is
// safe for concurrent use.
type Reloader struct {
	files   Files
	load    func(now time.Time) (*State, error)
	log     hclog.Logger
	current atomic.Pointer[State]
	expiry  *throttle.Throttle

	mu          sync.Mutex
	fingerprint string // of the files when they were last loaded
	lastError   string // of loading them since then; empty: none
}

// NewReloader loads the files with load: Files.LoadServer, or a function that ignores the
// time and calls Files.Load.
func NewReloader(
	files Files, load func(now time.Time) (*State, error), now time.Time, log hclog.Logger,
) (*Reloader, error) {
	r := &Reloader{
		files: files, load: load, log: log, expiry: throttle.New(warnInterval),
		fingerprint: files.fingerprint(), // before the files are read: a change meanwhile is loaded next time
	}
	state, err := load(now)
	if err != nil {
		return nil, err
	}
	r.current.Store(state)
	return r, nil
}

// Current returns the content in use.
func (r *Reloader) Current() *State { return r.current.Load() }

// Refresh loads the files if they have changed, and reports whether Current is new. It logs
// what cannot be used once for each cause, and once a day that the certificate expires soon.
func (r *Reloader) Refresh(now time.Time) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fingerprint := r.files.fingerprint(); fingerprint != r.fingerprint {
		changed = r.reload(fingerprint, now)
	}
	expires := r.Current().Expires()
	if expires.IsZero() || expires.Sub(now) >= WarnBefore {
		return changed
	}
	if _, log := r.expiry.Add("", 1, now); log {
		r.log.Warn("certificate expires soon", "certificate", r.files.Cert, "expires", expires.Format(time.DateOnly))
	}
	return changed
}

// reload loads the files. It records the fingerprint only on success: a permission change
// does not change the fingerprint, so a failed load is tried again.
func (r *Reloader) reload(fingerprint string, now time.Time) (changed bool) {
	state, err := r.load(now)
	if err != nil {
		if err.Error() != r.lastError {
			r.lastError = err.Error()
			r.log.Error("certificates not reloaded, the previous ones stay in use", "error", err)
		}
		return false
	}
	r.fingerprint, r.lastError = fingerprint, ""
	r.current.Store(state)
	r.log.Info("certificates reloaded", "certificate", r.files.Cert, "ca", r.files.CA)
	return true
}

// fingerprint changes when a file changes.
func (f Files) fingerprint() string { return Fingerprint(f.Cert, f.Key, f.CA) }

// Fingerprint changes when one of the files changes: it has the path, size and modification time of
// each, or why it has none. Empty paths are left out.
func Fingerprint(paths ...string) string {
	var text string
	for _, path := range paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			text += err.Error() + ";"
			continue
		}
		text += fmt.Sprintf("%s %d %d;", path, info.Size(), info.ModTime().UnixNano())
	}
	return text
}
