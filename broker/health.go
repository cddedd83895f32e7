package broker

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// Fault is a problem of JetStream: a stream, or the store, does not work.
type Fault struct {
	Stream string // empty: the store
	Detail string
}

// Faults returns what is wrong with JetStream: at once if the store cannot be written, and once
// it persists if a stream cannot be recovered. It is safe for concurrent use.
func (b *Broker) Faults() []Fault {
	faults := b.storeMonitor.Faults()
	if err := b.log.fatalError(); err != nil {
		return append([]Fault{{Detail: err.Error()}}, faults...)
	}
	return faults
}

// problemKind says whether reopening the store would solve a problem.
type problemKind int

const (
	otherProblem problemKind = iota // reopening would not solve it
	writeError                      // reopening solves it once the disk can be written
	storeClosed                     // the store is closed already: opening it interrupts nothing
)

// storeProblem is one entry of the server's health report. A problem that persists compares
// equal in every report.
type storeProblem struct {
	kind    problemKind
	stream  string
	detail  string
	version int64 // of the stream's directory: it differs once the stream is created anew
}

func (p storeProblem) fault() Fault { return Fault{Stream: p.stream, Detail: p.detail} }

// inspectStore returns the problems that the server finds in JetStream. It calls the server
// directly: a request needs a working JetStream. ok is false if the server did not check, or if the broker
// itself reopened the store meanwhile.
func (b *Broker) inspectStore() (problems []storeProblem, ok bool) {
	before := b.reopenings.Load()
	defer func() { ok = ok && before%2 == 0 && b.reopenings.Load() == before }()
	if !b.srv.JetStreamEnabled() {
		return []storeProblem{{kind: storeClosed, detail: "the server has closed JetStream"}}, true
	}
	return problemsIn(b.srv.Healthz(&server.HealthzOptions{Details: true}), b.streamVersion)
}

// writeErrorMark is the text by which the server reports the write error of a stream. The report
// has no code for a write error. Its type is the same as for a stream that was not recovered or
// is being created or deleted, so the text decides.
const writeErrorMark = " write error: "

// problemsIn returns the problems of a health report. It leaves out the problem "does not accept
// connections": the server checks for 1 ms whether it accepts connections. On a busy machine that
// time ends first, and the report says nothing about JetStream: ok is then false.
func problemsIn(
	health *server.HealthStatus, version func(account, stream string) int64,
) (problems []storeProblem, ok bool) {
	ok = true
	for _, e := range health.Errors {
		switch {
		case e.Type == server.HealthzErrorConn:
			ok = false
		case strings.HasPrefix(e.Stream, "."):
			// The files of a deleted stream, which the server removes in the background.
		case e.Type == server.HealthzErrorStream && strings.Contains(e.Error, writeErrorMark):
			problems = append(problems, storeProblem{kind: writeError, stream: e.Stream, detail: e.Error})
		default:
			problems = append(problems,
				storeProblem{stream: e.Stream, detail: e.Error, version: version(e.Account, e.Stream)})
		}
	}
	if len(health.Errors) == 0 && health.Error != "" {
		problems = append(problems, storeProblem{detail: health.Error})
	}
	return problems, ok || len(problems) > 0
}

// streamVersion returns the modification time of a stream's directory in nanoseconds; 0 if
// there is none. It differs between two streams of the same name, one created after the other.
func (b *Broker) streamVersion(account, stream string) int64 {
	info, err := os.Stat(filepath.Join(b.opts.StoreDir, server.JetStreamStoreDir, account, "streams", stream))
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// Handlers returns the server's own monitoring endpoints, by path. They require no password. Their answers
// do not have the write token.
// See https://docs.nats.io/running-a-nats-service/nats_admin/monitoring.
func (b *Broker) Handlers() map[string]http.HandlerFunc {
	handlers := map[string]http.HandlerFunc{
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
		"/healthz":   askAgain(b.srv.HandleHealthz),
	}
	for path, handler := range handlers {
		handlers[path] = b.hideToken(handler)
		if path != "/healthz" && path != "/varz" { // these are small, and probes must not wait
			handlers[path] = b.inTurn(handlers[path])
		}
	}
	return handlers
}

// healthTries is how often the server is asked whether it is healthy until it is taken for unhealthy.
const healthTries = 5

// askAgain returns a handler that asks another one again if it answers 500. The server answers so on a busy machine:
// whether it has started is decided by a select that also waits for a millisecond, and takes either if both are over.
func askAgain(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var answer *bufferedAnswer
		for range healthTries {
			answer = &bufferedAnswer{header: w.Header(), status: http.StatusOK}
			if h(answer, r); answer.status != http.StatusInternalServerError {
				break
			}
		}
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body.Bytes()) // fails if the client is gone
	}
}
