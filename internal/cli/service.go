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
	// extendInterval is how often systemd hears that opening takes longer, extendBy how long
	// that holds: a large store is read for minutes.
	extendInterval = 10 * time.Second
	extendBy       = time.Minute
)

// service tells systemd how it goes, where systemd has asked to be told. See sd_notify(3).
type service struct{ log hclog.Logger }

func (s service) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd not notified", "state", state, "error", err)
	}
}

// opening keeps systemd from giving up as long as open goes on.
func (s service) opening(open func() error) error {
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

// ready says that nodes may come.
func (s service) ready(status string) { s.notify(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// watch pings systemd as long as the service is alive, where the unit has a WatchdogSec:
// without pings systemd starts it again. See sd_watchdog_enabled(3).
func (s service) watch(ctx context.Context, alive func(context.Context) error) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("no watchdog", "error", err)
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
		look, cancel := context.WithTimeout(ctx, interval/3)
		err := alive(look)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("not alive: systemd is not told that it is, and will start it again", "error", err)
		default:
			s.notify(daemon.SdNotifyWatchdog)
		}
	}
}

// journaled tells whether what is written there goes to the journal, which has the time of
// each line. See JOURNAL_STREAM in systemd.exec(5).
func journaled(w io.Writer) bool {
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
