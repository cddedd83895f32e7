package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// How many bytes are kept of what clients control.
const (
	maxText   = 255
	maxName   = 128
	maxError  = 512
	maxConfig = 8 << 10 // a larger one is left out
)

// Record is one action, or several equal ones. Fields that do not apply are empty.
type Record struct {
	Time       time.Time `json:"time"`            // of the action; the last one if there were several
	Since      time.Time `json:"since,omitzero"`  // of the first one, if there were several
	Action     string    `json:"action"`          // one of the actions in package contract
	Identity   string    `json:"identity"`        // that the connection has proven; in a lab it chose it
	Address    string    `json:"address"`         // host of the connection
	Connection uint64    `json:"connection"`      // the server's number for it
	Name       string    `json:"name"`            // that the connection gave itself
	Proof      string    `json:"proof,omitempty"` // of ActionConnect: what proved the administrator's rights
	Stream     string    `json:"stream,omitempty"`

	Config   json.RawMessage `json:"config,omitempty"` // of the stream afterwards, with public subjects
	Filter   string          `json:"filter,omitempty"` // of a purge: only messages of this subject
	Sequence uint64          `json:"seq,omitempty"`    // of a deleted message; of a purge: only messages before it
	Keep     uint64          `json:"keep,omitempty"`   // of a purge: how many messages were to stay
	Purged   uint64          `json:"purged,omitempty"` // messages that purges have deleted, all together

	Error string `json:"error,omitempty"` // why it was refused; empty: it was done
	Count uint64 `json:"count"`           // actions in this record
}

// bounded returns the record with texts of limited length, in which no secret is left.
func (r Record) bounded(secrets []string) Record {
	text := func(s string, size int) string {
		for _, secret := range secrets {
			s = strings.ReplaceAll(s, secret, hidden)
		}
		return strings.ToValidUTF8(strings.Clone(s[:min(len(s), size)]), "�")
	}
	r.Identity, r.Name, r.Stream = text(r.Identity, maxText), text(r.Name, maxName), text(r.Stream, maxText)
	r.Filter, r.Error = text(r.Filter, maxText), text(r.Error, maxError)
	for _, secret := range secrets {
		r.Config = bytes.ReplaceAll(r.Config, []byte(secret), []byte(hidden))
	}
	if len(r.Config) > maxConfig {
		r.Config = nil
	}
	return r
}

// hidden replaces a secret.
const hidden = "TOKEN"
