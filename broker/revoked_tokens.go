package broker

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/revocation"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// settleTime is for how long a list of revoked tokens that lacks entries must stay the same until these do
// not count any more.
const settleTime = time.Second

// revokedTokens is the list of revoked tokens that is in force. An entry that disappears from the file counts
// until the file is the same at two looks in a row: it may be incomplete because it is being copied. New
// entries count at once.
type revokedTokens struct {
	source
	log     hclog.Logger
	list    *revocation.Tokens // nil: no list is configured
	lacking fileVersion        // the file, if it lacks entries of the list in force
}

// fileVersion is what a file had at a look.
type fileVersion struct {
	text string    // fingerprint and hash; empty: none
	seen time.Time // when it was first seen
}

// refresh reads the file again if it has changed, and reports whether the list in force is new. It logs an
// error once.
func (t *revokedTokens) refresh(now time.Time) (changed bool) {
	if !t.changed() {
		return false
	}
	switch err, before := t.read(now), t.lastError; {
	case err == nil:
		return true
	case before == nil || before.Error() != err.Error():
		t.log.Error("revoked tokens not reloaded, the previous list stays in force", "error", err)
		t.lastError = err
	}
	return false
}

// read reads the file.
func (t *revokedTokens) read(now time.Time) error {
	if len(t.paths) == 0 {
		return nil
	}
	lacking := t.lacking
	t.lacking = fileVersion{}
	path := t.paths[0]
	fingerprint := tlsfile.Fingerprint(path)
	text, err := readUpTo(path, revocation.MaxBytes)
	if err != nil {
		return err
	}
	tokens, err := revocation.ParseTokens(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	found := fileVersion{fmt.Sprintf("%s %x", fingerprint, sha256.Sum256(text)), now}
	if lacking.text == found.text {
		found.seen = lacking.seen
	}
	entries := t.list.Without(tokens)
	if entries > 0 && now.Sub(found.seen) < settleTime {
		if lacking.text == "" {
			t.log.Info("revoked tokens lack entries, which count until the file stays the same", "entries", entries)
		}
		return t.add(text, found)
	}
	switch {
	case entries > 0:
		t.log.Warn("revoked tokens reloaded, entries have disappeared and do not count any more", "entries", entries)
	case t.list != nil:
		t.log.Info("revoked tokens reloaded")
	}
	t.list, t.fingerprint, t.lastError = tokens, fingerprint, nil
	return nil
}

// add makes the entries of a file count that lacks others. The next look reads it again. A last line without
// its end may be incomplete, and name another token.
func (t *revokedTokens) add(text []byte, lacking fileVersion) error {
	tokens, err := revocation.ParseTokens(string(text[:bytes.LastIndexByte(text, '\n')+1]))
	if err != nil {
		return fmt.Errorf("%s: %w", t.paths[0], err)
	}
	t.list, t.lacking, t.fingerprint, t.lastError = t.list.Union(tokens), lacking, "", nil
	return nil
}
