package broker

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/nats-io/nats-server/v2/server"
)

// serverLog writes the server's log lines to Muster's log. Notices of NATS are routine and go to
// debug; its debug lines, several for each connection, go to trace.
type serverLog struct {
	log      hclog.Logger
	refusals *refusals

	permissionRefusals *permissionRefusals
	links              *links

	token    string // the write token, which is left out
	now      func() time.Time
	warnings *throttle.Throttle // by kind

	mu    sync.Mutex
	fatal error // first cause
}

// maxLine is how many bytes of a line are logged: subjects and names of clients are in it.
const maxLine = 1024

// text returns a line without the write token, of at most maxLine bytes.
func (l *serverLog) text(format string, args []any) string {
	line := string(withoutToken([]byte(fmt.Sprintf(format, args...)), l.token))
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + "…"
	}
	return line
}

// Noticef logs what NATS calls a notice. One about a connection to a remote is the only way to learn its id, see
// isOfRemote, and another one why a connection ended.
func (l *serverLog) Noticef(format string, args ...any) {
	if id, text, ok := leafLine(format); ok && len(args) > 1 {
		if account, ok := strings.CutPrefix(fmt.Sprint(args[0]), linkAccount); ok && text == linkCreated {
			l.links.noteAttempt(account, id)
		}
		if reason, ok := args[1].(server.ClosedState); ok && reason != server.ServerShutdown {
			l.links.noteClosed(id, reason)
		}
	}
	l.log.Debug(l.text(format, args))
}

// unverifiedLinks begins a warning that is wrong for Muster: VerifyConnection verifies them, see LeafRemote.tlsConfig.
const unverifiedLinks = "TLS certificate chain and hostname of solicited leafnodes will not be verified"

// Warnf logs a warning, at most one of each kind in refusalInterval.
func (l *serverLog) Warnf(format string, args ...any) {
	if format == websocketPlain || strings.HasPrefix(format, unverifiedLinks) { // that is what the configuration says
		l.log.Debug(l.text(format, args))
		return
	}
	kind := format[strings.LastIndex(format, " - ")+1:] // without the description of a connection before it
	l.warn(kind, l.text(format, args))
}

// warn logs a line as a warning, at most one of each kind in refusalInterval.
func (l *serverLog) warn(kind, line string) {
	count, log := l.warnings.Add(kind, 1, l.now())
	switch {
	case !log:
		l.log.Debug(line)
	case count > 1:
		l.log.Warn(line, "count", count)
	default:
		l.log.Warn(line)
	}
}

// Errorf logs an error. The server also reports faults of single connections here; those are
// logged at debug, so that a port scan does not fill the log.
func (l *serverLog) Errorf(format string, args ...any) {
	v, ok := parseViolation(format, args)
	if !ok {
		v, ok = parseLeafViolation(format, args)
	}
	if ok {
		if l.token != "" && strings.Contains(v.subject, l.token) {
			v.subject = string(withoutToken([]byte(v.subject), l.token))
		}
		l.permissionRefusals.record(v)
		if l.log.IsDebug() { // a node may cause very many
			l.log.Debug(l.text(format, args))
		}
		return
	}
	line := l.text(format, args)
	if address, ok, err := websocketError(line); ok {
		if err != nil {
			l.refusals.countRefusal(err, hostOf(address), "")
		}
		l.log.Debug(line)
		return
	}
	if strings.HasPrefix(line, websocketPrefix) || line == noLeafnodes { // a client can cause very many
		l.warn(websocketPrefix, line)
		return
	}
	ofRemote := l.isOfRemote(format, args, line)
	if err := handshakeError(format, args); err != nil && !ofRemote {
		address, _, _ := strings.Cut(line, " - ")
		l.refusals.countRefusal(err, hostOf(address), "")
	}
	if ofRemote || listenerIn(line) != listenerNone || strings.Contains(line, " - cid:") {
		l.log.Debug(line)
		return
	}
	l.log.Error(line)
}

// leafMarks follow the address of the other side in lines about a link; the second one is over WebSocket.
var leafMarks = [...]string{" - lid:", " - lid_ws:"}

// linkFailed begins the format of the line about a remote that cannot be reached: its host, the number of attempts, and
// the error follow.
const linkFailed = "Error trying to connect as leafnode to remote server"

// linkCreated is the format of the line about a new connection of a leaf node. Its first argument is empty for one that
// was accepted, and linkAccount and the account for one to a remote.
const (
	linkCreated = "Leafnode connection created%s %s"
	linkAccount = " for account: "
)

// isOfRemote reports whether a line is about a broker to which this one connects as a leaf node, and records what is
// wrong with it: the links log that in their own words. A connection that was accepted, from whatever address, is not.
func (l *serverLog) isOfRemote(format string, args []any, line string) bool {
	if strings.HasPrefix(format, linkFailed) && len(args) == 3 {
		return l.links.noteDialError(fmt.Sprint(args[0]), fmt.Sprint(args[2]))
	}
	id, text, ok := leafLine(line)
	return ok && l.links.noteError(id, text)
}

// leafLine returns the id and the text of a line about a connection of a leaf node, which begins with its description.
func leafLine(line string) (id uint64, text string, ok bool) {
	if listenerIn(line) != listenerLeafnode {
		return 0, "", false
	}
	_, rest, _ := strings.Cut(line, " - ")
	description, text, _ := strings.Cut(rest, " - ")
	_, number, _ := strings.Cut(description, ":")
	id, err := strconv.ParseUint(number, 10, 64)
	return id, text, err == nil
}

// Debugf logs a debug line.
func (l *serverLog) Debugf(format string, args ...any) { l.log.Trace(l.text(format, args)) }

// Tracef logs a trace line.
func (l *serverLog) Tracef(format string, args ...any) { l.log.Trace(l.text(format, args)) }

// Fatalf is how the server reports that it cannot start or continue. It must not exit, since
// the process is more than the server: fatalError returns the first error.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := errors.New(l.text(format, args))
	l.log.Error("NATS server cannot continue", "error", err)
	if l.fatal == nil {
		l.fatal = err
	}
}

// fatalError returns the first error that Fatalf received, or nil.
func (l *serverLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// handshakeError returns why a TLS handshake failed, or nil if that is not what the server
// reports. The server passes the cause as one of the arguments. Before the end of the format is a name
// that the client chose.
func handshakeError(format string, args []any) error {
	if !strings.HasSuffix(format, "TLS handshake error: %v%s") &&
		!strings.HasSuffix(format, "TLS %s handshake error: %v%s") {
		return nil
	}
	for _, arg := range args {
		err, ok := arg.(error)
		if ok && errors.Is(err, net.ErrClosed) {
			return nil // the broker closed it, and has counted that
		}
		switch {
		case isCertificateReason(err):
			return err
		case ok:
			return fmt.Errorf("%w: %w", errHandshake, err)
		}
	}
	return errHandshake
}

// hostOf returns the host of an address with a port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
