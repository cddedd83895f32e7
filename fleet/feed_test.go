package fleet

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

// consumers returns how many consumers a stream has.
func (s *fixture) consumers(stream string) int {
	s.tb.Helper()
	found, err := s.js.Stream(s.tb.Context(), stream)
	if err != nil {
		s.tb.Fatal(err)
	}
	return found.CachedInfo().State.Consumers
}

// What takes long to read is read to the end: only a message that does not come ends it.
func TestFeed_CatchUpMayTakeLong(t *testing.T) {
	t.Parallel()
	const nodes = 30
	s := newFixture(t)
	s.register(nodes, nil)
	f := s.newFleet(DefaultConfig())
	f.patience = 20 * time.Millisecond
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close(context.Background()) })
	stream, err := s.js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	err = f.readStored(t.Context(), stream, lastOfEachSubject(true), 0, func(jetstream.Msg, uint64) {
		time.Sleep(5 * time.Millisecond)
		read++
	})
	if err != nil || read != nodes {
		t.Errorf("%d messages, %v", read, err)
	}
}

func TestFleet_FollowEventsEndsWhenNoEventsCanCome(t *testing.T) {
	t.Parallel()
	stream := jetstream.StreamConfig{Name: contract.StreamFleet, Subjects: []string{contract.SubjectFleet + ">"}}
	for name, damage := range map[string]func(s *fixture) error{
		"deleted": func(s *fixture) error { return s.js.DeleteStream(s.tb.Context(), stream.Name) },
		"sealed": func(s *fixture) error {
			stream := stream
			stream.Sealed = true
			_, err := s.js.UpdateStream(s.tb.Context(), stream)
			return err
		},
		"refuses": func(s *fixture) error {
			stream := stream
			stream.MaxMsgs, stream.Discard = 1, jetstream.DiscardNew
			_, err := s.js.UpdateStream(s.tb.Context(), stream)
			s.register(3, nil)
			return err
		},
		"recreated": func(s *fixture) error {
			if err := s.js.DeleteStream(s.tb.Context(), stream.Name); err != nil {
				return err
			}
			_, err := s.js.CreateStream(s.tb.Context(), stream)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			f := s.newFleet(DefaultConfig())
			f.checkEvery = 50 * time.Millisecond
			if err := f.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			closing, cancel := context.WithCancel(context.Background())
			t.Cleanup(func() { cancel(); _ = f.Close(closing) }) // does not wait for events that cannot be stored
			s.register(1, nil)
			seen, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- f.FollowEvents(t.Context(), 0, func(*Event) error { close(seen); return nil })
			}()
			<-seen
			if err := damage(s); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				t.Log(err)
				if err == nil || errors.Is(err, context.Canceled) {
					t.Error("there is no reason")
				}
			case <-time.After(wait.Limit):
				t.Error("the follower has not ended")
			}
			if name == "deleted" {
				return
			}
			if n := s.consumers(stream.Name); n != 0 {
				t.Errorf("%d consumers are left", n)
			}
		})
	}
}

func TestFleet_CloseEndsFollowers(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	ended := make(chan error, 1)
	go func() { ended <- f.FollowEvents(t.Context(), 0, nil) }()
	wait.Eventually(t, func() error {
		if n := s.consumers(contract.StreamFleet); n != 1 {
			return fmt.Errorf("%d consumers", n)
		}
		return nil
	})
	_ = f.Close(t.Context())
	select {
	case err := <-ended:
		if !errors.Is(err, errClosed) {
			t.Error(err)
		}
	case <-time.After(wait.Limit):
		t.Error("the follower has not ended")
	}
}

// The registrations of a new stream have sequences that the old stream had, too.
func TestFleet_FollowsRecreatedStream(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	s.register(5, nil)
	s.awaitNodes(f, 5)
	if err := s.js.DeleteStream(t.Context(), contract.StreamRegistration); err != nil {
		t.Fatal(err)
	}
	s.createStream(contract.StreamRegistration, contract.SubjectNodeMetadata+">")
	s.register(6, nil)
	s.awaitNodes(f, 6)
	if n := s.consumers(contract.StreamRegistration); n != 1 {
		t.Errorf("%d consumers, want 1", n)
	}
}

func (s *fixture) awaitNodes(f *Fleet, nodes int) {
	s.tb.Helper()
	wait.Eventually(s.tb, func() error {
		if n := f.Summary().Nodes; n != nodes {
			return fmt.Errorf("%d nodes, want %d", n, nodes)
		}
		return nil
	})
}

// Messages that are deleted while they are read are not waited for.
func TestFeed_CatchUpSkipsDeletedMessages(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	for range 3 * maxPulled {
		if _, err := s.js.PublishAsync(contract.SubjectAdvisories, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-s.js.PublishAsyncComplete()
	stream, err := s.js.Stream(t.Context(), contract.StreamAdvisories)
	if err != nil {
		t.Fatal(err)
	}
	visited := 0
	err = f.readStored(t.Context(), stream, jetstream.ConsumerConfig{}, 0, func(jetstream.Msg, uint64) {
		if visited++; visited == 1 {
			if err := stream.Purge(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || visited == 3*maxPulled {
		t.Errorf("%d visited, %v", visited, err)
	}
	if n := s.consumers(contract.StreamAdvisories); n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}

// TestFeed_RequestsFewBytesAhead has a reader that is slower than the stream.
func TestFeed_RequestsFewBytesAhead(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	const messages, size = 40, 900_000
	stream := s.storeLarge(messages, size)
	before, visited := f.conn.Stats().InBytes, 0
	err := f.readStored(t.Context(), stream, jetstream.ConsumerConfig{}, 0, func(jetstream.Msg, uint64) {
		if visited++; visited > 1 {
			return
		}
		for last := uint64(0); last != f.conn.Stats().InBytes; time.Sleep(100 * time.Millisecond) {
			last = f.conn.Stats().InBytes // still arriving
		}
		if ahead := f.conn.Stats().InBytes - before; ahead > 2*maxPulledBytes {
			t.Errorf("%d MiB are in memory", ahead>>20)
		}
	})
	if err != nil || visited != messages {
		t.Errorf("%d of %d visited, %v", visited, messages, err)
	}
}

// storeLarge stores messages of a size and returns their stream.
func (s *fixture) storeLarge(messages, size int) jetstream.Stream {
	s.tb.Helper()
	for range messages {
		if _, err := s.js.Publish(s.tb.Context(), contract.SubjectAdvisories, make([]byte, size)); err != nil {
			s.tb.Fatal(err)
		}
	}
	stream, err := s.js.Stream(s.tb.Context(), contract.StreamAdvisories)
	if err != nil {
		s.tb.Fatal(err)
	}
	return stream
}

func TestRetryGaps_EndsWithTheFirstOtherResult(t *testing.T) {
	other := errors.New("other")
	gap := fmt.Errorf("read: %w", errGap)
	for name, test := range map[string]struct {
		results []error
		want    error
		calls   int
	}{
		"at once":  {[]error{nil}, nil, 1},
		"a gap":    {[]error{gap, nil}, nil, 2},
		"error":    {[]error{gap, other}, other, 2},
		"for ever": {[]error{gap, gap, gap, gap, gap, nil}, errGap, readAttempts},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := retryGaps(func() error {
				calls++
				return test.results[calls-1]
			})
			if !errors.Is(err, test.want) || calls != test.calls {
				t.Errorf("%v after %d calls", err, calls)
			}
		})
	}
}
