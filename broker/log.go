package broker

import (
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// serverLog passes the server's log lines on. What NATS calls a notice is daily routine
// and goes to debug; its debug lines, several for each connection, go to trace.
type serverLog struct {
	log hclog.Logger

	mu    sync.Mutex
	fatal error
}

func (l *serverLog) Noticef(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l *serverLog) Warnf(format string, args ...any)   { l.log.Warn(fmt.Sprintf(format, args...)) }

// Errorf is also where the server complains of single connections, whose faults are
// theirs: a port scan must not fill the log.
func (l *serverLog) Errorf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
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
