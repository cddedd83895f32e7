package broker

import (
	"fmt"
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
func (l *serverLog) Errorf(format string, args ...any)  { l.log.Error(fmt.Sprintf(format, args...)) }
func (l *serverLog) Debugf(format string, args ...any)  { l.log.Trace(fmt.Sprintf(format, args...)) }
func (l *serverLog) Tracef(format string, args ...any)  { l.log.Trace(fmt.Sprintf(format, args...)) }

// Fatalf is where the server reports that it cannot start or go on. It must not end the
// process, which is more than the server: the first cause is kept for Open to return.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf(format, args...)
	}
}

func (l *serverLog) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
