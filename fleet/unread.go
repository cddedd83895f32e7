package fleet

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// sayAgain keeps messages that cannot be read from filling the log.
const sayAgain = time.Minute

// unread counts stored messages that cannot be read, and says so once a minute.
type unread struct {
	mu    sync.Mutex
	count uint64
	said  time.Time
}

func (u *unread) add(log hclog.Logger, subject string, err error, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count++
	if now.Sub(u.said) >= sayAgain {
		u.said = now
		log.Warn("stored message not read", "subject", subject, "error", err, "count", u.count)
	}
}
