package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
)

// serverLog passes the server's log lines on. What NATS calls a notice is daily routine
// and goes to debug; its debug lines, several for each connection, go to trace.
type serverLog struct {
	log     hclog.Logger
	refused *refusals

	mu    sync.Mutex
	fatal error
}

func (l *serverLog) Noticef(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l *serverLog) Warnf(format string, args ...any)   { l.log.Warn(fmt.Sprintf(format, args...)) }

// Errorf is also where the server complains of single connections, whose faults are
// theirs: a port scan must not fill the log.
func (l *serverLog) Errorf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if err := handshakeError(format, args); err != nil {
		address, _, _ := strings.Cut(line, " - ")
		l.refused.refuse(err, hostOf(address), "")
	}
	if strings.Contains(line, " - cid:") {
		l.log.Debug(line)
		return
	}
	l.log.Error(line)
}

func (l *serverLog) Debugf(format string, args ...any) { l.log.Trace(fmt.Sprintf(format, args...)) }
func (l *serverLog) Tracef(format string, args ...any) { l.log.Trace(fmt.Sprintf(format, args...)) }

// Fatalf is where the server reports that it cannot start or go on. It must not end the
// process, which is more than the server: the first cause is kept for Open to return.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := fmt.Errorf(format, args...)
	l.log.Error("the server cannot go on", "error", err)
	if l.fatal == nil {
		l.fatal = err
	}
}

func (l *serverLog) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// handshakeError is why a TLS handshake failed, where that is what the server complains of.
// It hands its cause over as it is.
func handshakeError(format string, args []any) error {
	if !strings.Contains(format, "TLS handshake error") {
		return nil
	}
	for _, arg := range args {
		err, ok := arg.(error)
		var invalid *tls.CertificateVerificationError
		switch {
		case ok && errors.As(err, &invalid):
			return choria.CertificateError(invalid.Err)
		case ok:
			return fmt.Errorf("%w: %w", errHandshake, err)
		}
	}
	return errHandshake
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
