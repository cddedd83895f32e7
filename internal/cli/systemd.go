package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
)

const (
	// extendInterval is how often systemd is asked for more time while the appliance opens.
	extendInterval = 10 * time.Second
	// extendBy is how much time each request asks for. Reading a large store takes minutes.
	extendBy = time.Minute
)

// systemd notifies the service manager, see sd_notify(3). Where none has asked for notifications,
// its methods do nothing.
type systemd struct{ log hclog.Logger }

func (s systemd) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd not notified", "state", state, "error", err)
	}
}

// whileOpening runs open and returns its error. Until open returns, it extends the start timeout of
// the unit.
func (s systemd) whileOpening(open func() error) error {
	done := make(chan error, 1)
	go func() { done <- open() }()
	ticker := time.NewTicker(extendInterval)
	defer ticker.Stop()
	for {
		s.notify(fmt.Sprintf("STATUS=opening\nEXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds()))
		select {
		case err := <-done:
			return err
		case <-ticker.C:
		}
	}
}

// ready reports that nodes can connect.
func (s systemd) ready(status string) { s.notify(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// feedWatchdog pings systemd until ctx is done, as long as alive returns nil. It returns at once
// if the unit has no WatchdogSec. Without pings systemd restarts the service, see
// sd_watchdog_enabled(3).
func (s systemd) feedWatchdog(ctx context.Context, alive func(context.Context) error) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("watchdog disabled: WATCHDOG_USEC or WATCHDOG_PID is not valid", "error", err)
	}
	if err != nil || interval == 0 {
		return
	}
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		checkCtx, cancel := context.WithTimeout(ctx, interval/3)
		err := alive(checkCtx)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("appliance does not respond; systemd will restart it", "error", err)
		default:
			s.notify(daemon.SdNotifyWatchdog)
		}
	}
}

// isJournal reports whether w is connected to the systemd journal, which adds a time to each line.
// See JOURNAL_STREAM in systemd.exec(5).
func isJournal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
