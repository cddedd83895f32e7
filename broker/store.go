package broker

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	storeInterval = 500 * time.Millisecond
	// reopenInterval keeps the store from being reopened again and again.
	reopenInterval = 10 * time.Second
	// There is room again when so much is free, and a hundredth of the disk.
	leastRoom        = 4 << 20
	leastRoomPercent = 1
)

// watchStore says when the store cannot be written, and reopens it when there is room
// again. A stream that failed to write stays failed, whatever becomes of the disk, until
// its store is opened anew; connections, streams and consumers outlive that.
func (b *Broker) watchStore() {
	ticker := time.NewTicker(storeInterval)
	defer ticker.Stop()
	s := storeWatch{dir: b.store, log: b.log.log, faults: b.Faults, space: host.SpaceOf, reopen: b.reopenStore}
	for {
		select {
		case <-b.quit:
			return
		case now := <-ticker.C:
			s.look(now)
		}
	}
}

// reopenStore is what a restart would do to JetStream, without one.
func (b *Broker) reopenStore() error {
	if err := b.srv.ShutdownJetStream(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	err := b.srv.EnableJetStream(&server.JetStreamConfig{
		StoreDir:     b.store, // the server appends /jetstream, as it does at start
		MaxStore:     b.js.MaxStorage,
		MaxMemory:    b.js.MaxMemory,
		SyncInterval: b.js.SyncInterval,
		Domain:       b.js.Domain,
		CompressOK:   true,
		Strict:       true,
	})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	return nil
}

// storeWatch decides when to speak and when to reopen.
type storeWatch struct {
	dir    string
	log    hclog.Logger
	faults func() []Fault
	space  func(dir string) (host.Space, error)
	reopen func() error

	failing bool
	tried   time.Time
}

func (s *storeWatch) look(now time.Time) {
	faults := s.faults()
	if len(faults) == 0 {
		if s.failing {
			s.log.Info("store can be written again", "directory", s.dir)
		}
		s.failing = false
		return
	}
	space, err := s.space(s.dir)
	if err != nil {
		space = host.Space{}
	}
	if !s.failing {
		s.failing = true
		s.log.Error("store cannot be written: messages are held as long as the buffer has room; free space in the directory, or lower max_bytes of the streams",
			"directory", s.dir, "free", humanize.IBytes(space.Free), "stream", faults[0].Stream, "error", faults[0].Detail)
	}
	if !space.Has(leastRoom, leastRoomPercent) || now.Sub(s.tried) < reopenInterval {
		return
	}
	s.tried = now
	if err := s.reopen(); err != nil {
		s.log.Error("store not reopened", "directory", s.dir, "error", err)
	}
}
