package broker

import (
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestProblemsIn(t *testing.T) {
	busy := server.HealthzError{Type: server.HealthzErrorConn, Error: "failed to be ready for connections after 1ms"}
	lost := server.HealthzError{Type: server.HealthzErrorStream, Account: "choria", Stream: "S", Error: "not recovered"}
	deleted := server.HealthzError{Type: server.HealthzErrorStream, Account: "choria", Stream: ".S", Error: "not recovered"}
	full := server.HealthzError{Type: server.HealthzErrorStream, Stream: "S", Error: "JetStream stream 'a > S' write error: no space"}
	version := func(account, stream string) int64 {
		if account != "choria" || stream != "S" {
			return 0
		}
		return 7
	}
	for _, test := range []struct {
		name   string
		health server.HealthStatus
		want   []problem
		ok     bool
	}{
		{"healthy", server.HealthStatus{Status: "ok"}, nil, true},
		{"too busy to look", server.HealthStatus{Errors: []server.HealthzError{busy}}, nil, false},
		{"stream not recovered", server.HealthStatus{Errors: []server.HealthzError{busy, lost}},
			[]problem{{stream: "S", detail: "not recovered", version: 7}}, true},
		{"stream deleted", server.HealthStatus{Errors: []server.HealthzError{deleted}}, nil, true},
		{"stream not writable", server.HealthStatus{Errors: []server.HealthzError{full, lost}},
			[]problem{{kind: writeError, stream: "S", detail: full.Error}, {stream: "S", detail: "not recovered", version: 7}}, true},
		{"no details", server.HealthStatus{Error: "JetStream is not enabled"}, []problem{{detail: "JetStream is not enabled"}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if have, ok := problemsIn(&test.health, version); !slices.Equal(have, test.want) || ok != test.ok {
				t.Errorf("have %+v %v", have, ok)
			}
		})
	}
}
