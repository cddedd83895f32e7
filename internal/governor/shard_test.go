package governor

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// TestShard_PassesAcksOn compares answers with JetStream's, byte for byte.
func TestShard_PassesAcksOn(t *testing.T) {
	s := open(t, 1, nil)
	n1 := s.connect("n1")
	forged := &nats.Msg{Subject: subject, Data: []byte("n2"), Header: nats.Header{
		contract.HeaderIdentity: {"n2"}, contract.HeaderConnection: {"x/1"}, "Nats-Msg-Id": {"1"},
	}}
	for _, want := range []string{`{"stream":"GOVERNOR_G", "seq":1}`, full} {
		m, err := n1.RequestMsg(forged, wait.Limit)
		if err != nil || string(m.Data) != want {
			t.Fatalf("%v: %v, want %s", m, err, want)
		}
	}
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	entry := s.stream.messages[0]
	if len(entry.header) != 2 || entry.header.Get(contract.HeaderIdentity) != "n1" || entry.data != "n2" {
		t.Errorf("the entry is %+v", entry)
	}
}

// TestShard_RemovesTheEntryOfALateAck has the stream store an entry once the node has given up.
func TestShard_RemovesTheEntryOfALateAck(t *testing.T) {
	for name, late := range map[string]func(*fakeStream, func()){
		"stored late": func(f *fakeStream, pause func()) { f.delay(pause, nil) },
		"ack late":    func(f *fakeStream, pause func()) { f.delay(nil, pause) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 5, nil)
			n1, n2 := s.connect("n1"), s.connect("n2")
			s.mustEnter(n1, "n1", 1)
			var once sync.Once
			release := make(chan struct{})
			late(s.stream, func() { once.Do(func() { <-release }) })
			started := time.Now()
			if _, code := s.enter(n1, "n1"); code != codeNotAvailable || time.Since(started) < answerLimit {
				t.Fatalf("error %d after %s", code, time.Since(started))
			}
			close(release)
			s.mustEnter(n2, "n2", 3)
			s.stream.wants(t, 1, 3)
			if s.removed(removedLate) != 1 {
				t.Errorf("%d entries were removed", s.removed(removedLate))
			}
		})
	}
}

// TestShard_FindsALateEntryLater has the stream store an entry, while no other node enters and the API fails.
func TestShard_FindsALateEntryLater(t *testing.T) {
	s := open(t, 5, nil)
	n1 := s.connect("n1")
	release := make(chan struct{})
	s.stream.delay(func() { <-release }, nil)
	if _, code := s.enter(n1, "n1"); code != codeNotAvailable {
		t.Fatalf("error %d", code)
	}
	s.stream.fail(true)
	close(release)
	s.stream.wants(t, 1)
	time.Sleep(2 * retryInterval)
	s.stream.wants(t, 1)
	s.stream.fail(false)
	s.stream.wants(t)
}

// TestShard_RemovesTheEntryOfAnEndedConnection ends the connection of a node before its ack.
func TestShard_RemovesTheEntryOfAnEndedConnection(t *testing.T) {
	s := open(t, 5, nil)
	n1 := s.connect("n1")
	s.stream.delay(nil, func() { s.end(n1) })
	if err := n1.PublishRequest(subject, "r", []byte("n1")); err != nil { // it is flushed soon
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if s.removed(removedGone) != 1 {
			return context.DeadlineExceeded
		}
		return nil
	})
	s.stream.wants(t)
}

// TestShard_KeepsTheEntryOfALaterEndedConnection ends the connection of a node that runs its job.
func TestShard_KeepsTheEntryOfALaterEndedConnection(t *testing.T) {
	s := open(t, 5, nil)
	n1 := s.connect("n1")
	s.mustEnter(n1, watcher, 1)
	s.end(n1)
	s.mustEnter(s.connect("n2"), "Auto Agent  m#w @ n2", 2)
	s.stream.wants(t, 1, 2)
}

// TestShard_AnswersLikeNATSWithoutGovernor enters a governor that does not exist.
func TestShard_AnswersLikeNATSWithoutGovernor(t *testing.T) {
	for name, public := range map[string]bool{"no stream": false, "a public stream": true} {
		t.Run(name, func(t *testing.T) {
			s := open(t, 5, func(o *Options) {
				o.Request = func(_ context.Context, operation string, _ []byte) ([]byte, error) {
					answer := map[string]any{"total": 0}
					switch {
					case operation != "STREAM.NAMES":
						answer = map[string]any{"error": apiError{404, codeNoStream, "stream not found"}}
					case public:
						answer["total"] = 1
					}
					return json.Marshal(answer)
				}
			})
			_, err := s.connect("n1").Request("choria.governor.OTHER", []byte(watcher), answerLimit)
			if want := map[bool]error{false: nats.ErrNoResponders, true: nats.ErrTimeout}[public]; !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}
