package adapter

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// sayAgain keeps a connection that fails again and again from filling the log.
const sayAgain = time.Minute

// links counts what happens to the connections of an adapter, and says why.
type links struct {
	log           hclog.Logger
	reconnections atomic.Uint64
	errors        atomic.Uint64
	said          atomic.Int64 // Unix nanoseconds
}

// failed is called with every error of a connection to the servers.
func (l *links) failed(connection, servers string, err error) {
	l.errors.Add(1)
	now := time.Now()
	if said := l.said.Load(); now.UnixNano()-said > int64(sayAgain) && l.said.CompareAndSwap(said, now.UnixNano()) {
		l.log.Warn("connection fails", "connection", connection, "servers", servers, "error", err)
	}
}
