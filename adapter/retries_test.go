package adapter

import (
	"testing"
	"time"
)

func TestRetries_AreDueInOrderOfTime(t *testing.T) {
	start := time.Unix(1000, 0)
	var r retries
	late, soon := &message{attempts: 7}, &message{attempts: 1}
	r.add(late, start)
	r.add(soon, start)
	if due := r.takeDue(start); len(due) != 0 {
		t.Fatalf("due at once: %v", due)
	}
	if due := r.takeDue(start.Add(minBackoff)); len(due) != 1 || due[0] != soon {
		t.Errorf("have %v", due)
	}
	if due := r.takeDue(start.Add(maxBackoff)); len(due) != 1 || due[0] != late {
		t.Errorf("have %v", due)
	}
	for attempts := 1; attempts < 100; attempts++ {
		if d := backoff(attempts); d < minBackoff || d > maxBackoff {
			t.Errorf("backoff(%d) = %s", attempts, d)
		}
	}
}
