package appliance

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

const (
	// maxAcceptRequests is how many requests to accept a loss may wait; further ones get no answer.
	maxAcceptRequests = 64
	// adminRedialDelay is the pause before a connection to the broker is tried again.
	adminRedialDelay = 100 * time.Millisecond
)

// AcceptAnswer is the answer to a request on contract.SubjectAcceptLoss.
type AcceptAnswer struct {
	Error string `json:"error,omitempty"` // empty: accepted
}

// acceptLoss receives the requests of administrators to accept losses, each with the connection that sent it.
type acceptLoss struct {
	a        *Appliance
	conn     atomic.Pointer[inproc.Conn]
	requests chan inproc.Message
}

// serveAcceptLoss answers such requests until Close.
func (a *Appliance) serveAcceptLoss() error {
	s := &acceptLoss{a: a, requests: make(chan inproc.Message, maxAcceptRequests)}
	conn, err := s.dial()
	if err != nil {
		return err
	}
	a.wg.Go(func() { s.receive(conn) })
	a.wg.Go(s.answer)
	return nil
}

func (s *acceptLoss) dial() (*inproc.Conn, error) {
	conn, err := s.a.broker.DialIntake(adminIntake, "accept-loss", []string{contract.SubjectAcceptLoss + "*"}, s)
	if err == nil {
		s.conn.Store(conn)
	}
	return conn, err
}

// receive reads requests until Close. A connection that ends is replaced.
func (s *acceptLoss) receive(conn *inproc.Conn) {
	for {
		stop := context.AfterFunc(s.a.ctx, conn.Close)
		_ = conn.Run() // the cause is in the server's log
		stop()
		for err := error(inproc.ErrClosed); err != nil; {
			select {
			case <-s.a.quit:
				return
			case <-time.After(adminRedialDelay):
			}
			var next *inproc.Conn
			if next, err = s.dial(); err == nil {
				conn = next
			}
		}
	}
}

// Memory discards the data of a request: its subject says everything.
func (*acceptLoss) Memory(int, inproc.Peer) []byte { return nil }

// Receive leaves a request to answer. What no client has sent, JetStream or the appliance was made to send: it is
// ignored.
func (s *acceptLoss) Receive(m inproc.Message) {
	if m.Peer.Kind != inproc.KindClient || m.Peer.Account != broker.Account {
		return
	}
	select {
	case s.requests <- m:
	default:
	}
}

// answer answers the requests, one after the other.
func (s *acceptLoss) answer() {
	for {
		select {
		case <-s.a.quit:
			return
		case m := <-s.requests:
			s.accept(m)
		}
	}
}

func (s *acceptLoss) accept(m inproc.Message) {
	stream := strings.TrimPrefix(m.Subject, contract.SubjectAcceptLoss)
	_, err := s.a.recorder.accept(stream, time.Now())
	answer := AcceptAnswer{}
	if err != nil {
		answer.Error = err.Error()
	}
	s.a.audit.Add(audit.Record{
		Action: contract.ActionAcceptLoss, Identity: m.Peer.User, Address: m.Peer.Host, Connection: m.Peer.ID,
		Name: m.Peer.Name, Stream: stream, Error: answer.Error,
	})
	if m.Reply == "" {
		return
	}
	data, _ := json.Marshal(answer)                                       // a struct of texts
	_ = s.conn.Load().Publish(m.Reply, "", inproc.Begin(nil).End(), data) // an error means that it has just ended
}
