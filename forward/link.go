package forward

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/dial"
	"github.com/muster-appliance/muster/internal/puback"
	"github.com/nats-io/nats.go"
)

const (
	// answerWait is how long the hub may take to answer a request. While the answers to other requests arrive,
	// maxAnswerWait applies: the link is slow.
	answerWait    = 5 * time.Second
	maxAnswerWait = 30 * time.Second
	// deadAfter is how long a link may be silent, although a probe is under way, until it is dialed again.
	deadAfter = 4500 * time.Millisecond
	// probeInterval is how often a silent link is probed; checkInterval is how often the link is looked at.
	probeInterval = 1500 * time.Millisecond
	checkInterval = 250 * time.Millisecond
	// dialTimeout is how long each step may take until a connection is in use: TCP, the proxy, TLS. writeTimeout is
	// how long a write may hang.
	dialTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
)

// link is a connection to the hub that is dialed again whenever it ends. It answers each request once: with the
// answer of the hub, or with an error.
//
// The client library would notice a link that is silently dead after minutes. So the link probes the hub, and closes
// the socket if nothing arrives.
type link struct {
	name  string
	now   func() time.Time
	pacer *pacer
	nc    *nats.Conn
	inbox string
	wake  func() // called when the link is up again

	active   atomic.Int64 // when something arrived last, in nanoseconds since 1970
	answered atomic.Int64 // when an answer to a request arrived last, or a connection began
	probing  atomic.Bool

	connections atomic.Uint64 // that were made

	mu       sync.Mutex
	socket   net.Conn // the current one; nil before the first
	closed   bool     // new sockets are closed
	since    time.Time
	lastErr  string // why the link is down, or what the hub refused last; empty: nothing
	requests requests
	wg       sync.WaitGroup
}

func newLink(name string, window int, now func() time.Time, wake func()) *link {
	l := &link{name: name, now: now, wake: wake, inbox: nats.NewInbox() + ".", since: now()}
	l.requests.pending = map[uint64]*request{}
	l.pacer = newPacer(window, wake)
	return l
}

// open starts to connect, through the proxy if it is not nil; the hub need not be reachable. It ends with ctx.
func (l *link) open(ctx context.Context, servers []string, proxy *url.URL, options []nats.Option) (err error) {
	options = append(options,
		nats.Name(l.name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500*time.Millisecond),
		nats.ReconnectJitter(500*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.Timeout(dialTimeout),
		nats.FlusherTimeout(writeTimeout),
		// close and watch can end the socket, although the library waits for it.
		nats.SetCustomDialer(&dial.Dialer{Timeout: dialTimeout, Proxy: proxy, Opened: l.setSocket}),
		nats.ConnectHandler(func(*nats.Conn) { l.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.disconnected(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.noteError(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.handleError(err) }),
	)
	if l.nc, err = nats.Connect(strings.Join(servers, ","), options...); err != nil {
		return err
	}
	answers, err := l.nc.Subscribe(l.inbox+"*", l.receive)
	if err == nil {
		err = answers.SetPendingLimits(-1, -1) // none may be dropped: a message waits for each
	}
	if err != nil {
		l.nc.Close()
		return err
	}
	l.wg.Go(func() { l.watch(ctx) })
	return nil
}

// setSocket keeps a socket that was opened, or closes it if the link is closed.
func (l *link) setSocket(socket net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.socket = socket
	if l.closed {
		_ = socket.Close()
	}
}

// noteAnswer records that an answer arrived, or a connection began.
func (l *link) noteAnswer() {
	now := l.now().UnixNano()
	l.active.Store(now)
	l.answered.Store(now)
}

func (l *link) connected() {
	l.noteAnswer()
	l.connections.Add(1)
	l.mu.Lock()
	l.since, l.lastErr = l.now(), ""
	l.mu.Unlock()
	l.wake()
}

func (l *link) disconnected(err error) {
	l.mu.Lock()
	l.since = l.now()
	l.mu.Unlock()
	if err != nil {
		l.noteError(err)
	}
	l.answer(l.requests.all(), reply{err: puback.ErrNoAck})
}

// errNotPermitted is the error of a request on which the hub returned a permission violation.
var errNotPermitted = errors.New("the hub does not permit this edge to publish there")

// handleError keeps an error that the hub reported. The requests that it refused have no answer.
func (l *link) handleError(err error) {
	l.noteError(err)
	_, quoted, found := strings.Cut(err.Error(), `for Publish to "`)
	if !found || !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	subject, _, _ := strings.Cut(quoted, `"`)
	l.answer(l.requests.on(subject), reply{err: errNotPermitted})
}

// noteError keeps why the link does not work.
func (l *link) noteError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastErr = strings.TrimPrefix(err.Error(), "nats: ")
}

// isUp reports whether the link has a connection to the hub.
func (l *link) isUp() bool { return l.nc != nil && l.nc.IsConnected() }

// status returns whether the link is up, since when it is up or down, and the last error.
func (l *link) status() (up bool, since time.Time, lastErr string) {
	up = l.isUp() // before the lock: the library calls Dial with its own lock held
	l.mu.Lock()
	defer l.mu.Unlock()
	return up, l.since, l.lastErr
}

// watch ends requests without an answer, and the socket of a link that is dead, until ctx is done.
func (l *link) watch(ctx context.Context) {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := l.now()
		silent := now.Sub(time.Unix(0, l.active.Load()))
		idle := now.Sub(time.Unix(0, l.answered.Load()))
		l.answer(l.requests.overdue(now, idle), reply{err: puback.ErrNoAck})
		switch {
		case !l.isUp():
		case silent >= deadAfter:
			l.noteError(errors.New("the hub does not answer"))
			l.closeSocket()
		case silent >= probeInterval && l.probing.CompareAndSwap(false, true):
			l.wg.Go(l.probe)
		}
	}
}

// probe sends a ping and waits for the pong.
func (l *link) probe() {
	defer l.probing.Store(false)
	if l.nc.FlushTimeout(deadAfter) == nil {
		l.active.Store(l.now().UnixNano())
	}
}

// closeSocket ends the connection, also while the library writes to it.
func (l *link) closeSocket() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.socket != nil {
		_ = l.socket.Close()
	}
}

// receive handles an answer of the hub.
func (l *link) receive(m *nats.Msg) {
	l.noteAnswer()
	if r := l.requests.take(strings.TrimPrefix(m.Subject, l.inbox)); r != nil {
		l.answer([]*request{r}, reply{status: m.Header.Get("Status"), header: m.Header, data: m.Data})
	}
}

// answer passes a reply to requests that have been removed from those without an answer.
func (l *link) answer(requests []*request, with reply) {
	for _, r := range requests {
		if with.err == nil {
			with.took = l.now().Sub(r.sent)
		}
		r.done(with)
	}
}

// request sends a request. If it returns nil, done is called once, from another goroutine; otherwise it is not.
func (l *link) request(subject string, header nats.Header, data []byte, done func(reply)) error {
	token := l.requests.add(&request{subject: subject, sent: l.now(), done: done})
	err := l.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: l.inbox + token, Header: header, Data: data})
	if err != nil && l.requests.take(token) == nil {
		return nil // done has been called: the connection ended meanwhile
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return puback.ErrTooLarge
	}
	return err
}

// close ends the link, and every request with an error.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.closeSocket() // so that nothing waits for it
	if l.nc != nil {
		l.nc.Close()
	}
	l.wg.Wait()
	l.answer(l.requests.all(), reply{err: puback.ErrNoAck})
}
