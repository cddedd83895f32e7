package broker

import (
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestABusyMachineIsNoFault(t *testing.T) {
	conn := server.HealthzError{Type: server.HealthzErrorConn, Error: "failed to be ready for connections after 1ms"}
	stream := server.HealthzError{Type: server.HealthzErrorStream, Stream: "S", Error: "not recovered"}
	for label, test := range map[string]struct {
		health server.HealthStatus
		want   []Fault
	}{
		"well":      {server.HealthStatus{Status: "ok"}, nil},
		"busy":      {server.HealthStatus{Status: "error", Errors: []server.HealthzError{conn}}, nil},
		"a stream":  {server.HealthStatus{Errors: []server.HealthzError{conn, stream}}, []Fault{{"S", "not recovered"}}},
		"all of it": {server.HealthStatus{Error: "JetStream is not enabled"}, []Fault{{"", "JetStream is not enabled"}}},
	} {
		if have := faultsOf(&test.health); !slices.Equal(have, test.want) {
			t.Errorf("%s: %+v", label, have)
		}
	}
}
