package governor

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestShard_ReplacesWhatAWatcherLeftBehind has a node enter, and enter again.
func TestShard_ReplacesWhatAWatcherLeftBehind(t *testing.T) {
	for name, c := range map[string]struct {
		again    func(s *setup, first *nats.Conn) *nats.Conn // returns the connection that enters again
		name     string                                      // in both entries
		isClient bool
		kept     []uint64
	}{
		"over the same connection": {
			func(_ *setup, first *nats.Conn) *nats.Conn { return first }, watcher, false, []uint64{2},
		},
		"over another one": {reconnect("n1"), watcher, false, []uint64{2}},
		"after a restart": {
			func(s *setup, first *nats.Conn) *nats.Conn {
				_ = s.gate.Close(context.Background())
				s.openGate(func(o *Options) { o.Server = "another" })
				return first
			}, watcher, false, []uint64{2},
		},
		"while the other connection is open": {
			func(s *setup, _ *nats.Conn) *nats.Conn { return s.connect("n1") }, watcher, false, []uint64{1, 2},
		},
		"as another node":       {reconnect("n2"), watcher, false, []uint64{1, 2}},
		"as a client":           {reconnect("n1"), watcher, true, []uint64{1, 2}},
		"with governor run":     {reconnect("n1"), "n1", false, []uint64{1, 2}},
		"not quite as watchers": {reconnect("n1"), "Auto Agent  m @ n1", false, []uint64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 2, func(o *Options) { o.IsNode = func(uint64) bool { return !c.isClient } })
			first := s.connect("n1")
			s.mustEnter(first, c.name, 1)
			s.mustEnter(c.again(s, first), c.name, 2)
			s.stream.wants(t, c.kept...)
			if want := 2 - len(c.kept); s.removed(removedReplaced) != want {
				t.Errorf("%d entries were replaced, want %d", s.removed(removedReplaced), want)
			}
		})
	}
}

// reconnect returns a function that ends a connection and opens one of a node.
func reconnect(identity string) func(*setup, *nats.Conn) *nats.Conn {
	return func(s *setup, first *nats.Conn) *nats.Conn {
		s.end(first)
		return s.connect(identity)
	}
}

// TestShard_AFullGovernorHasRoomForItsWatcher enters a governor that is full of what the watcher left behind.
func TestShard_AFullGovernorHasRoomForItsWatcher(t *testing.T) {
	s := open(t, 1, nil)
	nc := s.connect("n1")
	for sequence := uint64(1); sequence < 10; sequence++ {
		s.mustEnter(nc, watcher, sequence)
		if sequence%3 == 0 {
			s.end(nc)
			nc = s.connect("n1")
		}
	}
	if _, code := s.enter(s.connect("n2"), watcher); code != codeFull {
		t.Errorf("another node got error %d", code)
	}
}
