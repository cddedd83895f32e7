package appliance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

// damages are what an administrator can do to a stream of a running appliance.
var damages = map[string]func(ctx context.Context, js jetstream.JetStream, stream string) error{
	"deleted": func(ctx context.Context, js jetstream.JetStream, stream string) error {
		return js.DeleteStream(ctx, stream)
	},
	"sealed": updateStream(func(cfg *jetstream.StreamConfig) { cfg.Sealed = true }),
	"full": updateStream(func(cfg *jetstream.StreamConfig) {
		cfg.MaxMsgs, cfg.MaxMsgsPerSubject, cfg.Discard = 1, -1, jetstream.DiscardNew
	}),
}

func updateStream(edit func(*jetstream.StreamConfig)) func(context.Context, jetstream.JetStream, string) error {
	return func(ctx context.Context, js jetstream.JetStream, stream string) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		cfg := s.CachedInfo().Config
		edit(&cfg)
		_, err = js.UpdateStream(ctx, cfg)
		return err
	}
}

// closeTimeout is the context with which these tests close; its place is taken by DrainTimeout
// where an appliance is closed without a limit.
const closeTimeout = 200 * time.Millisecond

func TestClose_EndsWhateverHappenedToAStream(t *testing.T) {
	t.Parallel()
	streams := []string{
		contract.StreamRegistration, contract.StreamFleet, contract.StreamRejected, contract.StreamAdvisories,
		contract.StreamAudit,
	}
	for _, stream := range streams {
		for damage, apply := range damages {
			for _, followed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s followed=%t", stream, damage, followed), func(t *testing.T) {
					t.Parallel()
					closeDamaged(t, followed, func(js jetstream.JetStream) error { return apply(t.Context(), js, stream) })
				})
			}
		}
	}
}

// closeDamaged closes an appliance after damage to a stream and some messages, with or without a
// follower of events. goleak finds what is left.
func closeDamaged(t *testing.T, followed bool, damage func(jetstream.JetStream) error) {
	a := newAppliance(testkit.Config(t, "[fleet]\nadvisories = true\n"))
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	js := testkit.JetStream(t, a)
	publish := func(n int) {
		_, raw := testkit.Registration(t, fmt.Sprintf("web%d", n), n, 10)
		for _, data := range [][]byte{raw, []byte("not a registration")} {
			if err := js.Conn().Publish(testkit.Subject, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(1)
	testkit.Settled(t, a, "registration", 2)
	awaitEvent(t, a)
	if followed {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"http://"+a.ConsoleAddress()+"/api/v1/events?after=0", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "text/event-stream")
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, err := response.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := damage(js); err != nil {
		t.Fatal(err)
	}
	publish(2)
	awaitReceived(t, a, 4)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- a.Close(ctx) }()
	select {
	case err := <-closed:
		if err != nil && !errors.Is(err, context.DeadlineExceeded) { // the console had no time left
			t.Error(err)
		}
	case <-time.After(wait.Limit):
		t.Fatalf("not closed after %s", wait.Limit)
	}
	if s := a.Stats()["registration"]; !s.Balanced() || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
}

// awaitReceived waits until the adapter has received so many messages.
func awaitReceived(t *testing.T, a *appliance.Appliance, n uint64) {
	t.Helper()
	wait.Eventually(t, func() error {
		if s := a.Stats()["registration"]; s.Received != n {
			return fmt.Errorf("%d of %d received", s.Received, n)
		}
		return nil
	})
}
