// Package privatestream protects streams from what JetStream and the server are made to send.
//
// JetStream and the server answer a request on any reply subject that the request names, and a
// consumer delivers to any subject: NATS checks neither against the permissions of the client, and a
// stream stores whatever is published to its subjects. So a private stream, one that only the appliance
// writes to, does not listen to the subject that readers know. It listens to that subject behind a secret,
// the write token, and its subject_transform removes the token before a message is stored.
//
// STREAM.INFO and other answers of JetStream contain the token. So the Service of this package receives
// requests about private streams (see broker/requests.go). It asks JetStream and replaces the
// configuration: requests and answers have the public subjects. It also receives the requests that change or
// delete something, of any stream, and ignores those that JetStream itself has sent.
//
// The streams of governors are private too: internal/governor writes to them, with the identity of the node that
// enters. A node may delete only the entries of its own identity.
//
// The package does not decide which declared streams are private, nor which client may ask.
package privatestream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go"
)

const (
	// Timeout is how long an answer may take.
	Timeout = 10 * time.Second
	// workers is how many requests are answered at the same time.
	workers = 8
	// maxWaiting is how many others wait, as many as in JetStream; maxWaitingBytes is their size together.
	maxWaiting      = 10_000
	maxWaitingBytes = 16 << 20
	// maxOfPeer is how many requests of one identity wait, except for administrators.
	maxOfPeer = 100
	// maxRequest is the largest request, in bytes.
	maxRequest = 256 << 10
	// redialDelay is the pause before a connection to the broker is tried again.
	redialDelay = 10 * time.Millisecond
)

// Options is what the appliance hands to the Service. All fields are required, except Audit.
type Options struct {
	Token      string   // the write token
	Outputs    []string // public subjects that only the appliance publishes to, and private streams store
	Streams    []string // names of private streams
	Declared   []string // names of all declared streams
	Account    string   // name of the account with the streams
	Others     []string // names of other accounts whose requests are answered; the broker limits which these are
	MaxPayload int64    // bytes of the largest answer

	// DialSystem opens an internal connection to the system account, which receives the requests.
	DialSystem    func(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error)
	ConnectSystem func(name string, options ...nats.Option) (*nats.Conn, error) // to the system account
	Audit         func(audit.Record)                                            // records changes; must not wait
	// Changing is called before each request that may change something, and done with JetStream's answer; nil:
	// there was none.
	Changing func(operation string) (done func(answer []byte))
	// IsNode reports whether a connection is that of a node, or has ended and may have been one. Refused counts
	// a request that a connection may not make. IsAdmin reports whether a connection may learn the write token.
	IsNode  func(id uint64) bool
	IsAdmin func(id uint64) bool
	Refused func(from inproc.Peer, subject string)
	Log     hclog.Logger
}

// Service answers requests about private streams in place of JetStream. Its methods are safe for concurrent
// use once Open has returned.
type Service struct {
	opts     Options
	subjects *subjects
	raw      rawAPI
	requests chan inproc.Message         // that no worker has taken yet
	waiting  atomic.Int64                // bytes of requests that are not answered yet
	peers    peerCounts                  // numbers of them
	conn     atomic.Pointer[inproc.Conn] // receives requests; nil before Open

	ctx    context.Context // done once Close is called
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New returns a Service that answers nothing before Open.
func New(o Options) *Service {
	s := &Service{
		opts: o, subjects: newSubjects(o.Token, o.Streams, o.Outputs), raw: rawAPI{account: o.Account},
		requests: make(chan inproc.Message, maxWaiting),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Open converts the existing streams, and answers requests from then on. The appliance must publish nothing
// before Open has returned.
func (s *Service) Open(ctx context.Context) error {
	err := s.open(ctx)
	if err != nil {
		err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return err
}

func (s *Service) open(ctx context.Context) (err error) {
	if s.raw.nc, err = s.opts.ConnectSystem("private streams"); err != nil {
		return err
	}
	if err := s.convert(ctx); err != nil {
		return err
	}
	conn, err := s.dial()
	if err != nil {
		return err
	}
	s.wg.Go(func() { s.receive(conn) })
	for range workers {
		s.wg.Go(s.answerRequests)
	}
	return nil
}

// Prefix returns what must precede a subject when the appliance publishes to it; empty if it is not the
// subject of a private stream. The subject may hold wildcards.
func (s *Service) Prefix(name string) string {
	if s.subjects.outputs.covers(name) {
		return s.subjects.prefix
	}
	return ""
}

// dial connects to the broker.
func (s *Service) dial() (*inproc.Conn, error) {
	requests := []string{contract.SubjectAPI + ">", contract.SubjectChecked + ">"}
	conn, err := s.opts.DialSystem("private streams", requests, receiver{s})
	if err == nil {
		s.conn.Store(conn)
	}
	return conn, err
}

// receive reads requests until Close. A connection that ends is replaced.
func (s *Service) receive(conn *inproc.Conn) {
	for {
		stop := context.AfterFunc(s.ctx, conn.Close)
		_ = conn.Run() // the cause is in the server's log
		stop()
		for err := error(inproc.ErrClosed); err != nil; {
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(redialDelay):
			}
			var next *inproc.Conn
			if next, err = s.dial(); err == nil {
				conn = next
			}
		}
	}
}

// receiver is the inproc.Receiver of the connection.
type receiver struct{ service *Service }

// Memory returns memory for a request, or nil for one that is too large or if too many wait.
func (r receiver) Memory(size int, _ inproc.Peer) []byte {
	if size > maxRequest || r.service.waiting.Load()+int64(size) > maxWaitingBytes {
		return nil
	}
	return make([]byte, size)
}

// Receive leaves a request to the workers.
func (r receiver) Receive(m inproc.Message) {
	refused := errUnavailable
	if m.Size > maxRequest {
		refused = errRequestSize
	}
	if m.Data != nil && r.service.enter(m) {
		select {
		case r.service.requests <- m:
			return
		default:
			r.service.leave(m)
		}
	}
	parsed, known := parseRequest(m)
	if !known {
		return
	}
	answer := parsed.errorAnswer(refused)
	r.service.audit(&parsed, answer)
	r.service.publish(m, answer)
}

// answerRequests is one worker.
func (s *Service) answerRequests() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case m := <-s.requests:
			s.answer(m)
			s.leave(m)
		}
	}
}

// Close stops answering and waits for the goroutines. It always returns nil. It may be called twice, and
// before Open.
func (s *Service) Close(context.Context) error {
	s.cancel()
	s.wg.Wait()
	if conn := s.conn.Load(); conn != nil {
		conn.Close()
	}
	if s.raw.nc != nil {
		s.raw.nc.Close()
	}
	return nil
}
