package forward

import (
	"testing"
	"time"
)

func newRequests() *requests { return &requests{pending: map[uint64]*request{}} }

func TestRequests_AreAnsweredOnce(t *testing.T) {
	r := newRequests()
	token := r.add(&request{})
	if r.take("?") != nil || r.take(token) == nil || r.take(token) != nil {
		t.Error("a request is not taken exactly once")
	}
	r.add(&request{})
	if len(r.all()) != 1 || len(r.all()) != 0 {
		t.Error("requests are left")
	}
}

func TestRequests_OverdueDependsOnOtherAnswers(t *testing.T) {
	r := newRequests()
	r.add(&request{sent: at(0)})
	answered := r.add(&request{sent: at(0)})
	r.take(answered)
	r.add(&request{sent: at(3)})
	if over := r.overdue(at(4), answerWait); len(over) != 0 {
		t.Errorf("%d are overdue too early", len(over))
	}
	if over := r.overdue(at(6), time.Second); len(over) != 0 {
		t.Errorf("%d are overdue on a slow link", len(over))
	}
	if over := r.overdue(at(6), answerWait); len(over) != 1 {
		t.Errorf("%d are overdue", len(over))
	}
	if over := r.overdue(at(100), 0); len(over) != 1 {
		t.Errorf("%d are overdue although others are answered", len(over))
	}
}
