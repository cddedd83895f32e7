// Package governor is the gate of Choria's governors: nodes enter them through it.
//
// A governor is a stream that refuses messages once it has as many as the governor has slots. A node enters by
// publishing, gets the sequence of its entry as ack, and leaves by deleting that message. The stream is private
// (see internal/privatestream). The Gate receives what nodes publish, each request with the connection that has
// sent it, and stores it with the identity that the connection has proven. So a node can later delete its own
// entries and no others.
//
// A node that gets no answer within a second gives up its attempt and never leaves. So the Gate removes an entry
// again whose ack came too late for the node, or whose connection has ended by then. It also replaces the entry
// that a watcher of the same node has left behind, see shard.replace. It removes no entry because a connection
// has ended later: the job goes on.
//
// The package does not decide which connections may enter, and does not receive the requests to leave.
package governor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go"
)

const (
	// answerLimit is how long after its reception a request is answered with a slot. Choria waits one second.
	answerLimit = 900 * time.Millisecond
	// shards is how many governors are entered at the same time.
	shards = 16
	// maxWaiting is how many requests wait, maxWaitingOfPeer those of one identity, and maxWaitingBytes is their
	// size together.
	maxWaiting       = 4096
	maxWaitingOfPeer = 64
	maxWaitingBytes  = 4 << 20
	// maxName is the longest name of an entry, in bytes. Choria's have about 100.
	maxName = 4 << 10
	// redialDelay is the pause before a connection to the broker is tried again.
	redialDelay = 10 * time.Millisecond
)

// Options is what the appliance hands to the Gate. All fields are required, except Release and IsDown.
type Options struct {
	Prefix  string // what precedes a subject when the appliance publishes to a private stream
	Account string // name of the account of nodes and clients
	Server  string // id of the server process

	// Dial opens an internal connection that receives what is published to contract.SubjectsGovernor. Connect opens
	// one to the account of the streams.
	Dial    func(receiver inproc.Receiver) (*inproc.Conn, error)
	Connect func(name string, options ...nats.Option) (*nats.Conn, error)
	// Request sends a request to JetStream's API. The operation is the rest of a subject after "$JS.API.".
	Request func(ctx context.Context, operation string, data []byte) ([]byte, error)
	// IsOpen reports whether a connection is open, and IsNode whether it is a node's.
	IsOpen func(connection uint64) bool
	IsNode func(connection uint64) bool

	// Release is how long a node must be down before its entries are removed; 0: they are not. IsDown reports
	// whether a node has been down for so long.
	Release time.Duration
	IsDown  func(node string, atLeast time.Duration) bool

	Now func() time.Time
	Log hclog.Logger
}

// Gate lets nodes enter governors. Its methods are safe for concurrent use once Open has returned.
type Gate struct {
	opts   Options
	nc     *nats.Conn                  // nil before Open
	conn   atomic.Pointer[inproc.Conn] // receives requests; nil before Open
	seed   maphash.Seed
	shards [shards]*shard
	queue  waiting
	counts counts

	open          context.Context // done once Close is called: no node enters any more
	close         context.CancelFunc
	entering      sync.WaitGroup
	answering     context.Context // done once all attempts are over
	stopAnswering context.CancelFunc
	receiving     sync.WaitGroup
}

// New returns a Gate that lets no node enter before Open.
func New(o Options) *Gate {
	g := &Gate{opts: o, seed: maphash.MakeSeed(), queue: waiting{ofPeer: map[string]int{}}, counts: newCounts()}
	for i := range g.shards {
		g.shards[i] = newShard(g)
	}
	g.open, g.close = context.WithCancel(context.Background())
	g.answering, g.stopAnswering = context.WithCancel(context.Background())
	return g
}

// Open lets nodes enter from then on.
func (g *Gate) Open(ctx context.Context) error {
	err := g.start()
	if err != nil {
		err = errors.Join(err, g.Close(context.WithoutCancel(ctx)))
	}
	return err
}

func (g *Gate) start() (err error) {
	if g.nc, err = g.opts.Connect("governors"); err != nil {
		return err
	}
	conn, err := g.dial()
	if err != nil {
		return err
	}
	g.receiving.Go(func() { g.receive(conn) })
	for _, s := range g.shards {
		g.entering.Go(s.run)
	}
	if g.opts.Release > 0 {
		g.entering.Go(g.releaseDown)
	}
	return nil
}

func (g *Gate) dial() (*inproc.Conn, error) {
	conn, err := g.opts.Dial(receiver{g})
	if err == nil {
		g.conn.Store(conn)
	}
	return conn, err
}

// receive reads requests until Close. A connection that ends is replaced.
func (g *Gate) receive(conn *inproc.Conn) {
	for {
		stop := context.AfterFunc(g.answering, conn.Drain) // what was answered arrives
		_ = conn.Run()                                     // the cause is in the server's log
		stop()
		for err := error(inproc.ErrClosed); err != nil; {
			select {
			case <-g.answering.Done():
				return
			case <-time.After(redialDelay):
			}
			var next *inproc.Conn
			if next, err = g.dial(); err == nil {
				conn = next
			}
		}
	}
}

// request is one request to enter, with the time of its reception.
type request struct {
	inproc.Message
	received time.Time
}

// receiver is the inproc.Receiver of the connection.
type receiver struct{ gate *Gate }

// Memory returns memory for a name, or nil for one that is too long.
func (receiver) Memory(size int, _ inproc.Peer) []byte {
	if size > maxName {
		return nil
	}
	return make([]byte, size)
}

// Receive leaves a request to the shard of its governor. What no node or client has sent is ignored: JetStream and
// the server publish with permissions of their own what a node makes them publish, and so does the appliance when
// it answers. A message without reply subject is ignored too: its publisher could not leave.
func (r receiver) Receive(m inproc.Message) {
	g := r.gate
	if m.Peer.Kind != inproc.KindClient || m.Peer.Account != g.opts.Account || m.Reply == "" {
		g.counts.attempt(outcomeIgnored)
		return
	}
	if m.Data == nil {
		g.fail(m, outcomeFailed, errNameSize)
		return
	}
	if g.open.Err() != nil || !g.queue.add(m) {
		g.fail(m, outcomeFailed, errUnavailable)
		return
	}
	s := g.shards[maphash.String(g.seed, contract.GovernorStream(m.Subject))%shards]
	s.requests <- &request{m, g.opts.Now()} // it has room for maxWaiting
}

// answer sends the answer to a request, and reports whether there is a connection for it.
func (g *Gate) answer(m inproc.Message, header, data []byte) bool {
	return g.conn.Load().Publish(m.Reply, "", header, data) == nil
}

// fail answers with an error, in the form of JetStream's acks.
func (g *Gate) fail(m inproc.Message, outcome string, err *apiError) {
	g.counts.attempt(outcome)
	g.answer(m, emptyHeader, errorAck(contract.GovernorStream(m.Subject), err))
}

// connectionOf returns the value of contract.HeaderConnection for a peer.
func (g *Gate) connectionOf(p inproc.Peer) string { return fmt.Sprintf("%s/%d", g.opts.Server, p.ID) }

// Close waits for the attempts that have begun, and lets no others in. Requests that wait get no answer. It always
// returns nil. It may be called twice, and before Open.
func (g *Gate) Close(context.Context) error {
	g.close()
	g.entering.Wait()
	g.stopAnswering()
	g.receiving.Wait()
	if g.nc != nil {
		g.nc.Close()
	}
	return nil
}

// waiting counts the requests that no shard has taken yet.
type waiting struct {
	mu     sync.Mutex
	count  int
	bytes  int
	ofPeer map[string]int // by peerKey
}

// peerKey names what shares maxWaitingOfPeer: an identity, or in a lab a connection.
func peerKey(p inproc.Peer) string { return cmp.Or(p.User, fmt.Sprint("#", p.ID)) }

// add counts a request, and reports whether there is room for it.
func (w *waiting) add(m inproc.Message) bool {
	key := peerKey(m.Peer)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == maxWaiting || w.bytes+m.Size > maxWaitingBytes || w.ofPeer[key] == maxWaitingOfPeer {
		return false
	}
	w.count++
	w.bytes += m.Size
	w.ofPeer[key]++
	return true
}

func (w *waiting) remove(m inproc.Message) {
	key := peerKey(m.Peer)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	w.bytes -= m.Size
	if w.ofPeer[key]--; w.ofPeer[key] == 0 {
		delete(w.ofPeer, key)
	}
}
