package broker

import (
	"net/http"

	"github.com/nats-io/nats-server/v2/server"
)

// Fault is something that JetStream cannot do.
type Fault struct {
	Stream string // empty where it is not about one stream
	Detail string
}

// Faults asks the server, not its API, what is wrong with JetStream: a stream that was not
// recovered, a disk that refused a write. It is empty on a healthy day.
func (b *Broker) Faults() []Fault {
	health := b.srv.Healthz(&server.HealthzOptions{Details: true})
	var faults []Fault
	if err := b.log.cause(); err != nil {
		faults = append(faults, Fault{Detail: err.Error()})
	}
	return append(faults, faultsOf(health)...)
}

// faultsOf leaves out whether the server takes connections: it gives itself a millisecond to
// find out, which on a busy machine is over before it has looked.
func faultsOf(health *server.HealthStatus) (faults []Fault) {
	for _, e := range health.Errors {
		if e.Type != server.HealthzErrorConn {
			faults = append(faults, Fault{Stream: e.Stream, Detail: e.Error})
		}
	}
	if len(health.Errors) == 0 && health.Error != "" {
		faults = append(faults, Fault{Detail: health.Error})
	}
	return faults
}

// Handlers are the server's own monitoring pages, by path. They ask for no password.
// See https://docs.nats.io/running-a-nats-service/nats_admin/monitoring.
func (b *Broker) Handlers() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/varz":      b.srv.HandleVarz,
		"/connz":     b.srv.HandleConnz,
		"/routez":    b.srv.HandleRoutez,
		"/gatewayz":  b.srv.HandleGatewayz,
		"/leafz":     b.srv.HandleLeafz,
		"/subsz":     b.srv.HandleSubsz,
		"/jsz":       b.srv.HandleJsz,
		"/accountz":  b.srv.HandleAccountz,
		"/accstatz":  b.srv.HandleAccountStatz,
		"/ipqueuesz": b.srv.HandleIPQueuesz,
		"/healthz":   b.srv.HandleHealthz,
	}
}
