package appliance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// The clock is set forward by ten days and back by twenty, while nodes are connected and register.
// No state changes, and each step is logged, counted and stored as an event.
func TestAppliance_ClockStepChangesNoState(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "")
	var log logBuffer
	a := appliance.New(cfg, appliance.Options{
		Version: "test", Log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn}),
	})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	const nodes = 5
	connections := make([]*nats.Conn, nodes)
	register := func(round int) {
		for n := range nodes {
			name := fmt.Sprintf("web%d", n)
			if connections[n] == nil {
				connections[n] = testkit.Connect(t, a, nats.Name(name))
			}
			_, raw := testkit.Registration(t, name, round, 100)
			if err := connections[n].Publish(testkit.Subject, raw); err != nil {
				t.Fatal(err)
			}
		}
		testkit.Settled(t, a, "registration", uint64((round+1)*nodes))
	}
	register(0)
	wait.Eventually(t, func() error { return allUp(a, nodes) })
	steps := []time.Duration{10 * 24 * time.Hour, -20 * 24 * time.Hour}
	for i, by := range steps {
		a.SetClock(by)
		register(i + 1)
		wait.Eventually(t, func() error {
			if n := strings.Count(log.String(), "clock was set, or the machine was suspended: step="); n != i+1 {
				return fmt.Errorf("%d steps in the log: %s", n, &log)
			}
			return allUp(a, nodes)
		})
	}
	if _, metrics := testkit.Get(t, a, "/metrics"); !strings.Contains(metrics,
		"muster_clock_steps_total{direction=\"back\"} 1\nmuster_clock_steps_total{direction=\"forward\"} 1\n") {
		t.Errorf("the steps are not counted:\n%s", metrics)
	}
	var have []string
	wait.Eventually(t, func() error {
		have = nil
		for _, m := range testkit.Messages(t, testkit.JetStream(t, a), contract.StreamFleet) {
			var e struct {
				Event string
				Step  float64 `json:"step_seconds"`
			}
			if err := json.Unmarshal(m.Data(), &e); err != nil {
				t.Fatal(err)
			}
			if e.Event != "new" {
				have = append(have, fmt.Sprintf("%s %.0f", e.Event, e.Step))
			}
		}
		if len(have) < len(steps) {
			return errors.New("the steps are not stored")
		}
		return nil
	})
	if want := "[clock_step 864000 clock_step -1728000]"; fmt.Sprint(have) != want {
		t.Errorf("events %v, want %s", have, want)
	}
}

// The appliance starts with a clock that is behind, or ahead of, the one with which it stored a message.
func TestAppliance_StartComparesTheClockWithStoredMessages(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "")
	for _, start := range []struct {
		by   time.Duration
		want string
	}{
		{0, ""},
		{-time.Hour, "clock is behind the newest stored message: difference="},
		{8 * 24 * time.Hour, "older than the max_age of a stream: stream=CHORIA_REGISTRATION difference=19"},
	} {
		var log logBuffer
		a := appliance.New(cfg, appliance.Options{
			Version: "test", Log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn}),
		})
		a.SetClock(start.by)
		if err := a.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		nc := testkit.Connect(t, a)
		_, raw := testkit.Registration(t, "web1", int(start.by.Seconds())+10_000, 100)
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
		testkit.Settled(t, a, "registration", 1)
		if err := a.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if have := log.String(); start.want == "" && strings.Contains(have, "stored") || !strings.Contains(have, start.want) {
			t.Errorf("%s: log %s, want %q", start.by, have, start.want)
		}
	}
}

// allUp returns an error unless so many nodes are up, and no others are known.
func allUp(a *appliance.Appliance, nodes int) error {
	if have := a.States(); have["up"] != nodes || have["late"]+have["down"]+have["stopped"] != 0 {
		return fmt.Errorf("states %v", have)
	}
	return nil
}
