package choria

import (
	"encoding/json"
	"time"
)

// lifecycleEvent is an event that a Choria server publishes about itself: the data of a
// CloudEvent or, with legacy_lifecycle_format, the whole message. The schemas are at
// https://choria.io/schemas/choria/lifecycle/v1/.
type lifecycleEvent struct {
	Identity string          `json:"identity"`
	Data     *lifecycleEvent `json:"data"` // set in a CloudEvent
}

// LifecycleIdentity returns the identity of the server that a lifecycle event is about. Events are
// not signed. The error wraps ErrMalformed, ErrSchema, ErrNotUTF8 or ErrBadSender.
func LifecycleIdentity(event []byte) (string, error) {
	var e lifecycleEvent
	if err := decodeJSON("lifecycle event", event, &e); err != nil {
		return "", err
	}
	if e.Data != nil {
		e = *e.Data
	}
	return e.Identity, CheckSender(e.Identity)
}

// ShutdownSubject is where a server publishes its shutdown event.
const ShutdownSubject = "choria.lifecycle.event.shutdown.server"

// cloudEvent is the envelope of a server's events, see
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	ContentType string    `json:"datacontenttype"`
	Time        string    `json:"time"`
	Data        eventData `json:"data"`
}

type eventData struct {
	Protocol  string `json:"protocol"`
	ID        string `json:"id"`
	Identity  string `json:"identity"`
	Component string `json:"component"`
	Timestamp int64  `json:"timestamp"` // Unix seconds
	Version   string `json:"version,omitempty"`
}

// EncodeShutdown encodes the shutdown event that a server publishes before it stops. id is a UUID.
func EncodeShutdown(identity, id string, now time.Time) ([]byte, error) {
	return LifecycleEvent{Type: "shutdown", Component: "server", Identity: identity}.Encode(id, now)
}

// ComponentProvisioning is the component of the events of a server in provisioning mode.
const ComponentProvisioning = "provision_mode_server"

// LifecycleEvent is an event that a server publishes about itself.
type LifecycleEvent struct {
	Type      string // such as "startup"
	Component string // of Choria: "server" or ComponentProvisioning
	Identity  string
	Version   string // of Choria; only some types have it
}

// Subject returns where the event is published.
func (e LifecycleEvent) Subject() string {
	return "choria.lifecycle.event." + e.Type + "." + e.Component
}

// Encode encodes the event. id is a UUID.
func (e LifecycleEvent) Encode(id string, now time.Time) ([]byte, error) {
	kind := "io.choria.lifecycle.v1." + e.Type
	return json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: id, Source: "io.choria.lifecycle", Type: kind, Subject: e.Identity,
		ContentType: "application/json", Time: now.UTC().Format(time.RFC3339),
		Data: eventData{
			Protocol: kind, ID: id, Identity: e.Identity, Component: e.Component, Timestamp: now.Unix(), Version: e.Version,
		},
	})
}
