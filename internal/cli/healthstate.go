package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// healthState is what one check health remembers for the next, in the file of --state.
type healthState struct {
	At     time.Time          `json:"at"`
	Counts map[string]float64 `json:"counts"` // by name of healthCounters
}

// since returns the words " since TIME", the time of the previous check; empty for the first check.
func (s healthState) since() string {
	if s.At.IsZero() {
		return ""
	}
	return " since " + s.At.Format(time.RFC3339)
}

// readHealthState returns the state in a file; zero when there is none, or no name.
func readHealthState(name string) (s healthState, err error) {
	if name == "" {
		return s, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s is not a state file of muster check health; remove it: %w", name, err)
	}
	return s, nil
}

// write replaces the file in one step, so that two checks at the same time cannot mix their content.
// Without a name it does nothing.
func (s healthState) write(name string) error {
	if name == "" {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = cmp.Or(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
