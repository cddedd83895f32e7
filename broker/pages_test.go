package broker

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestBroker_MakesFewPagesAtOnce(t *testing.T) {
	b := newBroker(t, DefaultConfig(), testOptions(t))
	going, release, done := make(chan string, 10), make(chan struct{}), make(chan struct{}, 10)
	h := b.inTurn(func(_ http.ResponseWriter, r *http.Request) {
		going <- r.URL.Query().Get("limit")
		<-release
	})
	for range maxPages + 3 {
		go func() {
			h(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/connz?limit=99999999", nil))
			done <- struct{}{}
		}()
	}
	for range maxPages {
		if limit := <-going; limit != "10000" {
			t.Errorf("the limit is %s", limit)
		}
	}
	select {
	case <-going:
		t.Errorf("more than %d answers are made at once", maxPages)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	for range maxPages + 3 {
		select {
		case <-done:
		case <-time.After(wait.Limit):
			t.Fatal("a request did not get its turn")
		}
	}
}
