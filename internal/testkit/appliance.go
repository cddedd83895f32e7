// Package testkit runs whole appliances for tests, on free ports of loopback, connects to them, and
// supplies messages, among them those of real Choria nodes. Only tests import it.
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

// Config returns the configuration of an appliance that listens on free ports and stores in a
// temporary directory. The text is laid over the defaults, as the file would be.
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

// Appliance runs an appliance until the test ends. See Config for the text.
func Appliance(tb testing.TB, text string) *appliance.Appliance {
	tb.Helper()
	return Open(tb, Config(tb, text))
}

// Open runs an appliance until the test ends. The test fails if its ledger does not balance then.
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

// Connect opens a connection over TCP, which is closed when the test ends.
func Connect(tb testing.TB, a *appliance.Appliance, options ...nats.Option) *nats.Conn {
	tb.Helper()
	return ConnectTo(tb, a.BrokerAddress(), options...)
}

// ConnectTo opens a connection to a URL, such as one of Appliance.Listeners, which is closed when the test ends.
func ConnectTo(tb testing.TB, url string, options ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// JetStream returns JetStream over a new connection.
func JetStream(tb testing.TB, a *appliance.Appliance) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(Connect(tb, a))
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// Messages returns all messages of a stream, in its order.
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
			tb.Fatalf("stream %s delivered %d of %d messages", stream, len(all), wanted)
		}
	}
	return all
}

// Settled waits until the adapter has received so many messages and every one has its outcome.
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

// Get returns the answer of an endpoint of the console.
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

// GetJSON decodes the answer of an endpoint of the console, and returns its status.
func GetJSON(tb testing.TB, a *appliance.Appliance, path string, into any) int {
	tb.Helper()
	status, body := Get(tb, a, path)
	if err := json.Unmarshal([]byte(body), into); err != nil {
		tb.Fatalf("%s: %v: %s", path, err, body)
	}
	return status
}
