package retry

import (
	"slices"
	"testing"
	"time"
)

func TestQueue_ItemsAreDueInOrderOfTime(t *testing.T) {
	start := time.Unix(1000, 0)
	var q Queue[string]
	if !q.Next().IsZero() || q.Len() != 0 || q.TakeDue(start) != nil {
		t.Error("the zero value is not empty")
	}
	q.Add("late", 7, start)
	q.Add("soon", 1, start)
	q.Add("between", 3, start)
	if q.Len() != 3 || !q.Next().Equal(start.Add(MinBackoff)) {
		t.Errorf("%d items, the first at %s", q.Len(), q.Next())
	}
	for _, step := range []struct {
		after time.Duration
		due   []string
	}{
		{0, nil},
		{MinBackoff, []string{"soon"}},
		{MinBackoff, nil},
		{MaxBackoff, []string{"between", "late"}},
		{time.Hour, nil},
	} {
		if due := q.TakeDue(start.Add(step.after)); !slices.Equal(due, step.due) {
			t.Errorf("after %s: %v", step.after, due)
		}
	}
}

func TestBackoff_IsBounded(t *testing.T) {
	last := time.Duration(0)
	for attempts := 1; attempts < 100; attempts++ {
		d := Backoff(attempts)
		if d < MinBackoff || d > MaxBackoff || d < last {
			t.Errorf("Backoff(%d) = %s", attempts, d)
		}
		last = d
	}
}
