package broker

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// Fault is something that JetStream cannot do.
type Fault struct {
	Stream string // empty if it is not about one stream
	Detail string
}

// Faults returns what is wrong with JetStream: a store that cannot be written, at once; a
// stream that cannot be recovered, once that persists. It is safe for concurrent use.
func (b *Broker) Faults() []Fault {
	faults := b.store.Faults()
	if err := b.log.cause(); err != nil {
		return append([]Fault{{Detail: err.Error()}}, faults...)
	}
	return faults
}

// problemKind says what reopening the store would do to a problem.
type problemKind int

const (
	otherProblem problemKind = iota // reopening would not solve it
	writeError                      // reopening solves it once the disk can be written
	storeClosed                     // there is nothing to close: opening disturbs nothing
)

// problem is one entry of the server's health report. A problem that persists compares equal
// in every report.
type problem struct {
	kind    problemKind
	stream  string
	detail  string
	version int64 // of the stream's directory: another one for a stream that is created anew
}

func (p problem) fault() Fault { return Fault{Stream: p.stream, Detail: p.detail} }

// inspectStore asks the server, not its API, what is wrong with JetStream. ok is false if
// the server did not look.
func (b *Broker) inspectStore() (problems []problem, ok bool) {
	if !b.srv.JetStreamEnabled() {
		return []problem{{kind: storeClosed, detail: "the server has closed JetStream"}}, true
	}
	return problemsIn(b.srv.Healthz(&server.HealthzOptions{Details: true}), b.streamVersion)
}

// writeErrorMark is how the server describes the error that a stream met when it wrote. Its
// report has no code for that: it has the same type for a stream without a write error that
// has a directory and cannot be found, because it was not recovered, is being created, or is
// being deleted.
const writeErrorMark = " write error: "

// problemsIn returns the problems of a health report. It leaves out whether the server
// accepts connections: the server gives itself a millisecond to find out, which on a busy
// machine is over before it has looked, and then it does not look at JetStream at all.
func problemsIn(health *server.HealthStatus, version func(account, stream string) int64) (problems []problem, ok bool) {
	ok = true
	for _, e := range health.Errors {
		switch {
		case e.Type == server.HealthzErrorConn:
			ok = false
		case strings.HasPrefix(e.Stream, "."):
			// The files of a deleted stream, which the server removes in the background.
		case e.Type == server.HealthzErrorStream && strings.Contains(e.Error, writeErrorMark):
			problems = append(problems, problem{kind: writeError, stream: e.Stream, detail: e.Error})
		default:
			problems = append(problems,
				problem{stream: e.Stream, detail: e.Error, version: version(e.Account, e.Stream)})
		}
	}
	if len(health.Errors) == 0 && health.Error != "" {
		problems = append(problems, problem{detail: health.Error})
	}
	return problems, ok || len(problems) > 0
}

// streamVersion returns the modification time of a stream's directory in nanoseconds; 0 if
// there is none. It differs between two streams of the same name, one created after the other.
func (b *Broker) streamVersion(account, stream string) int64 {
	info, err := os.Stat(filepath.Join(b.opts.Store, server.JetStreamStoreDir, account, "streams", stream))
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// Handlers returns the server's own monitoring endpoints, by path. They require no password.
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
