package adapter

import (
	"context"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

func TestAdapter_DropsWhatIsPendingWhenCloseTimesOut(t *testing.T) {
	t.Parallel()
	a, b := openWith(t, DefaultConfig(), 64<<20) // no stream stores what it publishes
	publish(t, b, 100, []byte("{}"), false)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s := a.Stats()
	if s.Received != 100 || s.Dropped[contract.ReasonShutdown] != 100 ||
		s.Pending != 0 || s.Held != 0 || !s.Balanced() {
		t.Errorf("have %+v", s)
	}
}
