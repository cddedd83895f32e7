package adapter

import "testing"

func TestSenderQueues_PublishOneMessageOfASenderAtATime(t *testing.T) {
	q := newSenderQueues()
	a1, a2 := &message{sender: "a", detail: "first"}, &message{sender: "a", detail: "second"}
	b1 := &message{sender: "b", detail: "first"}
	q.push(a1)
	q.push(a2)
	q.push(b1)
	if q.takeReady() != a1 || q.takeReady() != b1 || q.takeReady() != nil {
		t.Fatal("the second message of a sender was ready before the first had its outcome")
	}
	q.suspend(a1)
	q.resume(a1)
	if q.takeReady() != a1 || q.takeReady() != nil {
		t.Fatal("the second message of a sender was ready while the first was retried")
	}
	q.advance("a")
	if q.takeReady() != a2 || q.takeReady() != nil {
		t.Fatal("the second message is not ready after the first had its outcome")
	}
	q.advance("a")
	q.advance("b")
	if len(q.active) != 0 || q.waiting != 0 {
		t.Errorf("queues are left: %v", q)
	}
}

func TestSenderQueues_SuspendedSenderDoesNotPauseConversion(t *testing.T) {
	q := newSenderQueues()
	first := &message{sender: "a"}
	q.push(first)
	if q.takeReady() != first {
		t.Fatal("the first message is not ready")
	}
	q.suspend(first)
	for range 10 * maxReady {
		q.push(&message{sender: "a"})
	}
	if !q.shouldConvert() {
		t.Error("a suspended sender pauses conversion")
	}
	q.resume(first)
	if q.shouldConvert() {
		t.Error("conversion goes on although maxReady messages wait")
	}
	for len(q.ready)+q.waiting > minReady {
		if m := q.takeReady(); m != nil {
			q.advance(m.sender)
		}
	}
	if !q.shouldConvert() {
		t.Error("conversion is paused although only minReady messages wait")
	}
}
