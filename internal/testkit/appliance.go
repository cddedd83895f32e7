// Package testkit gives tests the real thing: whole appliances on free ports of loopback,
// clients that connect to them, and messages from real Choria nodes. It is for tests only.
package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config is the configuration of an appliance that listens on free ports and stores in a
// directory of the test; text is laid over it as the file would be.
func Config(tb testing.TB, text string) *appliance.Config {
	tb.Helper()
	cfg, err := appliance.Parse("test.toml", []byte("identity = \"appliance.test\"\n"+text))
	if err != nil {
		tb.Fatal(err)
	}
	cfg.DataDir = tb.TempDir()
	cfg.Broker.Listen = "127.0.0.1:0"
	cfg.Console.Listen = "127.0.0.1:0"
	return cfg
}

// Appliance runs an appliance until the test ends; text is laid over its configuration.
func Appliance(tb testing.TB, text string) *appliance.Appliance {
	tb.Helper()
	return Open(tb, Config(tb, text))
}

// Open runs an appliance until the test ends, and then wants its ledger to balance.
func Open(tb testing.TB, cfg *appliance.Config) *appliance.Appliance {
	tb.Helper()
	a := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
	if err := a.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			tb.Errorf("close: %v", err)
		}
		for name, s := range a.Stats() {
			if !s.Balanced() || s.Pending != 0 {
				tb.Errorf("the ledger of %s does not balance: %+v", name, s)
			}
		}
	})
	return a
}

// Connect opens a connection over TCP, as a node or a tool would.
func Connect(tb testing.TB, a *appliance.Appliance, options ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(a.BrokerAddress(), options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// JetStream is JetStream over a connection of its own.
func JetStream(tb testing.TB, a *appliance.Appliance) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(Connect(tb, a))
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// Messages are all messages of a stream, read one after the other.
func Messages(tb testing.TB, js jetstream.JetStream, stream string) []jetstream.Msg {
	tb.Helper()
	s, err := js.Stream(tb.Context(), stream)
	if err != nil {
		tb.Fatal(err)
	}
	wanted := s.CachedInfo().State.Msgs
	if wanted == 0 {
		return nil
	}
	consumer, err := s.OrderedConsumer(tb.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	var all []jetstream.Msg
	for uint64(len(all)) < wanted {
		batch, err := consumer.Fetch(int(min(wanted-uint64(len(all)), 1000)), jetstream.FetchMaxWait(wait.Limit))
		if err != nil {
			tb.Fatal(err)
		}
		before := len(all)
		for m := range batch.Messages() {
			all = append(all, m)
		}
		if len(all) == before {
			tb.Fatalf("stream %s gave %d of %d messages", stream, len(all), wanted)
		}
	}
	return all
}

// Settled waits until the adapter has received so many messages and each has its verdict.
func Settled(tb testing.TB, a *appliance.Appliance, adapter string, received uint64) {
	tb.Helper()
	wait.Eventually(tb, func() error {
		s := a.Stats()[adapter]
		if !s.Balanced() {
			return errors.New("the ledger does not balance")
		}
		if s.Received < received || s.Pending > 0 {
			return fmt.Errorf("%d of %d received, %d pending", s.Received, received, s.Pending)
		}
		return nil
	})
}

// Get reads a page of the console.
func Get(tb testing.TB, a *appliance.Appliance, path string) (status int, body string) {
	tb.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + a.ConsoleAddress() + path)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// GetJSON reads a page of the console as JSON.
func GetJSON(tb testing.TB, a *appliance.Appliance, path string, into any) int {
	tb.Helper()
	status, body := Get(tb, a, path)
	if err := json.Unmarshal([]byte(body), into); err != nil {
		tb.Fatalf("%s: %v: %s", path, err, body)
	}
	return status
}
