package adapter

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/prometheus/client_golang/prometheus"
)

// connectorMetrics returns the values of choria_connector_*; of the summary its count.
func connectorMetrics(t *testing.T, a *Adapter) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(ChoriaCollector([]*Adapter{a}, "test"))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		name, is := strings.CutPrefix(family.GetName(), "choria_connector_")
		if !is {
			continue
		}
		m := family.GetMetric()[0]
		values[name] = m.GetCounter().GetValue() + float64(m.GetSummary().GetSampleCount())
	}
	return values
}

// serveOneConnection accepts one connection at the address, answers its pings, and returns a function that ends
// the connection and the listener.
func serveOneConnection(t *testing.T, address string) (end func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		_ = l.Close()
		if err != nil {
			return
		}
		accepted <- c
		fmt.Fprint(c, `INFO {"server_id":"x","version":"2.15.2","proto":1,"headers":true,"max_payload":1048576}`+"\r\n")
		for lines := bufio.NewScanner(c); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "PING") {
				fmt.Fprint(c, "PONG\r\n")
			}
		}
	}()
	return func() { _ = l.Close(); _ = (<-accepted).Close() }
}

// TestChoriaCollector_CountsConnections follows the connection to another server, which appears after the adapter
// has started and ends once.
func TestChoriaCollector_CountsConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // nothing listens there yet
	cfg := DefaultConfig()
	cfg.Stream.Servers = []string{address}
	a, _ := openWith(t, cfg, 1<<20)
	eventually := func(want func(map[string]float64) bool) {
		t.Helper()
		wait.Eventually(t, func() error {
			if have := connectorMetrics(t, a); !want(have) {
				return fmt.Errorf("have %v", have)
			}
			return nil
		})
	}
	eventually(func(m map[string]float64) bool {
		return m["initial_connect_time"] == 2 && m["initial_connection_attempts"] >= 2 && m["reconnections"] == 0
	})
	end := serveOneConnection(t, address)
	eventually(func(m map[string]float64) bool { return m["initial_connect_time"] == 3 })
	attempts := connectorMetrics(t, a)["initial_connection_attempts"]
	end()
	end = serveOneConnection(t, address)
	eventually(func(m map[string]float64) bool { return m["reconnections"] == 1 })
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	eventually(func(m map[string]float64) bool {
		return m["connection_closed"] == 3 && m["initial_connection_attempts"] == attempts && m["errors"] >= 1
	})
}
