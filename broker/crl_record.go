package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/internal/revocation"
)

// crlRecord keeps in a file which CRLs were in force, so that an older one is noticed after a restart. Its
// owner takes care that no two calls overlap.
type crlRecord struct {
	path      string // empty: there is no file
	log       hclog.Logger
	marks     revocation.Marks
	lastError string // of writing the file since that last succeeded
}

// openCRLRecord reads the file. A record that cannot be read is empty.
func openCRLRecord(path string, log hclog.Logger) *crlRecord {
	r := &crlRecord{path: path, log: log}
	if path == "" {
		return r
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &r.marks)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.marks = nil
		log.Warn("record of the revocation lists not read", "error", fmt.Errorf("%s: %w", path, err))
	}
	return r
}

// keep writes the file if CRLs in force are newer than those in it. It logs each error once.
func (r *crlRecord) keep(lists *revocation.Lists) {
	marks, changed := lists.Mark(r.marks)
	if !changed {
		return
	}
	if r.path == "" {
		r.marks = marks
		return
	}
	text, err := json.MarshalIndent(marks, "", "  ")
	if err == nil {
		err = host.ReplaceFile(r.path, append(text, '\n'))
	}
	if err == nil {
		r.marks, r.lastError = marks, ""
		return
	}
	if err.Error() != r.lastError {
		r.lastError = err.Error()
		r.log.Warn("record of the revocation lists not written", "error", err)
	}
}
