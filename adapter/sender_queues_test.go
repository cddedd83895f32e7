package adapter

import "testing"

func TestSenderQueues_PublishOneMessageOfASenderAtATime(t *testing.T) {
	q := newSenderQueues()
	a1, a2 := &message{sender: "a", attempts: 1}, &message{sender: "a", attempts: 2}
	b1 := &message{sender: "b", attempts: 1}
	q.push(a1)
	q.push(a2)
	q.push(b1)
	if q.next() != a1 || q.next() != b1 || q.next() != nil {
		t.Fatal("the second message of a sender was ready before the first had its outcome")
	}
	q.suspend(a1)
	q.resume(a1)
	if q.next() != a1 || q.next() != nil {
		t.Fatal("the second message of a sender was ready while the first was retried")
	}
	q.advance("a")
	if q.next() != a2 || q.next() != nil {
		t.Fatal("the second message is not ready after the first had its outcome")
	}
	q.advance("a")
	q.advance("b")
	if len(q.active) != 0 || q.waiting != 0 {
		t.Errorf("queues are left: %v", q)
	}
}

func TestSenderQueues_SuspendedSenderDoesNotThrottleParsing(t *testing.T) {
	q := newSenderQueues()
	first := &message{sender: "a"}
	q.push(first)
	if q.next() != first {
		t.Fatal("the first message is not ready")
	}
	q.suspend(first)
	for range 10 * maxReady {
		q.push(&message{sender: "a"})
	}
	if !q.wantsMore() {
		t.Error("a suspended sender throttles parsing")
	}
	q.resume(first)
	if q.wantsMore() {
		t.Error("parsing goes on although maxReady messages wait")
	}
	for len(q.ready)+q.waiting > minReady {
		if m := q.next(); m != nil {
			q.advance(m.sender)
		}
	}
	if !q.wantsMore() {
		t.Error("parsing is throttled although only minReady messages wait")
	}
}
