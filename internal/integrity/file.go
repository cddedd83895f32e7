package integrity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// oldSuffix is added to the name of the file with the record before the last one.
const oldSuffix = ".old"

// envelope is the content of the file.
type envelope struct {
	SHA256 string          `json:"sha256"` // of the record
	Record json.RawMessage `json:"record"`
}

// Load reads the record from a file. If the file is damaged or missing, Load returns the record
// before the last one, which is older, and an error that says so. Without that one, the record is
// empty; the error is fs.ErrNotExist if there is no file at all.
func Load(path string) (*Record, error) {
	r, err := load(path)
	if err == nil {
		return r, nil
	}
	old, oldErr := load(path + oldSuffix)
	if oldErr != nil {
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(oldErr, fs.ErrNotExist) {
			err = oldErr
		}
		return New(), err
	}
	old.Clean = false
	return old, fmt.Errorf("%w; %s is used, which is older", err, path+oldSuffix)
}

func load(path string) (*Record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if e.SHA256 != checksum(e.Record) {
		return nil, fmt.Errorf("%s is damaged: wrong checksum", path)
	}
	r := New()
	if err := json.Unmarshal(e.Record, r); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return r, nil
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Save replaces the file in one step, once the new content is on the disk. The file before it stays
// beside it.
func (r *Record) Save(path string) error {
	record, err := json.Marshal(r)
	if err != nil {
		return err
	}
	text, err := json.Marshal(envelope{checksum(record), record})
	if err != nil {
		return err
	}
	next := path + ".new"
	if err := writeSynced(next, text); err != nil {
		return err
	}
	// Without hard links there is only one file. The file is never missing, not even for a moment.
	_ = os.Remove(path + oldSuffix)
	_ = os.Link(path, path+oldSuffix)
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
