package governor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// TestGate_LimitsWhatWaits sends requests while the stream does not answer.
func TestGate_LimitsWhatWaits(t *testing.T) {
	s := open(t, 1000, nil)
	release := make(chan struct{})
	s.stream.delay(func() { <-release }, nil)
	n1, n2 := s.connect("n1"), s.connect("n2")
	answers, err := n1.SubscribeSync("answers")
	if err != nil {
		t.Fatal(err)
	}
	const sent = 200
	started := time.Now()
	for range sent {
		if err := n1.PublishRequest(subject, "answers", []byte("n1")); err != nil {
			t.Fatal(err)
		}
	}
	for range sent - maxWaitingOfPeer - 1 { // one is being entered
		m, err := answers.NextMsg(wait.Limit)
		if err != nil || !strings.Contains(string(m.Data), `"err_code":10008`) {
			t.Fatalf("%v: %v", m, err)
		}
	}
	if past := time.Since(started); past > answerLimit {
		t.Skipf("the machine is too slow: %s", past)
	}
	s.gate.queue.mu.Lock()
	if s.gate.queue.count != maxWaitingOfPeer {
		t.Errorf("%d requests wait", s.gate.queue.count)
	}
	s.gate.queue.mu.Unlock()
	close(release)
	s.mustEnter(n2, "n2", 2+maxWaitingOfPeer)
	wait.Eventually(t, func() error {
		s.gate.queue.mu.Lock()
		defer s.gate.queue.mu.Unlock()
		if s.gate.queue.count != 0 || s.gate.queue.bytes != 0 || len(s.gate.queue.ofPeer) != 0 {
			return fmt.Errorf("%d requests wait", s.gate.queue.count)
		}
		return nil
	})
}

// TestGate_RefusesALongName sends the longest name and a longer one.
func TestGate_RefusesALongName(t *testing.T) {
	s := open(t, 2, nil)
	nc := s.connect("n1")
	s.mustEnter(nc, strings.Repeat("x", maxName), 1)
	if _, code := s.enter(nc, strings.Repeat("x", maxName+1)); code != errNameSize.ErrorCode {
		t.Errorf("error %d", code)
	}
	s.stream.wants(t, 1)
}

// TestGate_IgnoresMessagesWithoutReply publishes without a reply subject: such a node could not leave.
func TestGate_IgnoresMessagesWithoutReply(t *testing.T) {
	s := open(t, 2, nil)
	nc := s.connect("n1")
	if err := nc.Publish(subject, []byte("n1")); err != nil {
		t.Fatal(err)
	}
	s.mustEnter(nc, "n1", 1)
	if ignored := s.value("muster_governor_attempts_total", outcomeIgnored); ignored != 1 {
		t.Errorf("%d messages were ignored", ignored)
	}
}

// TestGate_CloseWaitsForAttempts closes while an entry has no ack. The node gets the ack, or else the entry is
// removed.
func TestGate_CloseWaitsForAttempts(t *testing.T) {
	for name, late := range map[string]bool{"in time": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 2, nil)
			release := make(chan struct{})
			s.stream.delay(nil, func() { <-release })
			nc := s.connect("n1")
			answers, err := nc.SubscribeSync("answers")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.PublishRequest(subject, "answers", []byte("n1")); err != nil {
				t.Fatal(err)
			}
			s.stream.wants(t, 1)
			if !late {
				time.AfterFunc(answerLimit/3, func() { close(release) })
			}
			_ = s.gate.Close(t.Context())
			m, err := answers.NextMsg(wait.Limit)
			if err != nil || strings.Contains(string(m.Data), "error") != late {
				t.Errorf("%v: %v", m, err)
			}
			if late {
				close(release)
				s.stream.wants(t)
			} else {
				s.stream.wants(t, 1)
			}
		})
	}
}
