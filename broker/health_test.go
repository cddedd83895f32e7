package broker

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestProblemsIn(t *testing.T) {
	busy := server.HealthzError{Type: server.HealthzErrorConn, Error: "failed to be ready for connections after 1ms"}
	stream := func(name, text string) server.HealthzError {
		return server.HealthzError{Type: server.HealthzErrorStream, Account: "choria", Stream: name, Error: text}
	}
	lost, deleted := stream("S", "not recovered"), stream(".S", "not recovered")
	full := stream("S", "JetStream stream 'choria > S' write error: no space")
	lostProblem := storeProblem{stream: "S", detail: "not recovered", version: 7}
	disabled := "JetStream is not enabled"
	version := func(account, stream string) int64 {
		if account != "choria" || stream != "S" {
			return 0
		}
		return 7
	}
	for _, test := range []struct {
		name   string
		health server.HealthStatus
		want   []storeProblem
		ok     bool
	}{
		{"healthy", server.HealthStatus{Status: "ok"}, nil, true},
		{"too busy to look", server.HealthStatus{Errors: []server.HealthzError{busy}}, nil, false},
		{"stream not recovered", server.HealthStatus{Errors: []server.HealthzError{busy, lost}},
			[]storeProblem{lostProblem}, true},
		{"stream deleted", server.HealthStatus{Errors: []server.HealthzError{deleted}}, nil, true},
		{"stream not writable", server.HealthStatus{Errors: []server.HealthzError{full, lost}},
			[]storeProblem{{kind: writeError, stream: "S", detail: full.Error}, lostProblem}, true},
		{"no details", server.HealthStatus{Error: disabled}, []storeProblem{{detail: disabled}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if have, ok := problemsIn(&test.health, version); !slices.Equal(have, test.want) || ok != test.ok {
				t.Errorf("have %+v %v", have, ok)
			}
		})
	}
}

func TestAskAgain_AnswersWhatTheServerAnswersInTheEnd(t *testing.T) {
	for name, c := range map[string]struct{ failures, want, asked int }{
		"healthy":   {0, http.StatusOK, 1},
		"busy":      {2, http.StatusOK, 3},
		"unhealthy": {healthTries, http.StatusInternalServerError, healthTries},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			w := httptest.NewRecorder()
			askAgain(func(w http.ResponseWriter, _ *http.Request) {
				if asked++; asked <= c.failures {
					w.WriteHeader(http.StatusInternalServerError)
				}
				_, _ = w.Write([]byte("answer"))
			})(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
			if w.Code != c.want || asked != c.asked || w.Body.String() != "answer" {
				t.Errorf("%d after %d requests: %q", w.Code, asked, w.Body)
			}
		})
	}
}
