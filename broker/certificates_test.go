package broker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

func TestBroker_OpenRefusesUnusableFiles(t *testing.T) {
	now := time.Now()
	ca := authority.New(t, now)
	past := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(0, -2, 0), now.AddDate(0, -1, 0) }
	future := func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 0, 1) }
	clientsOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	remove := func(name string) func(string) {
		return func(dir string) { _ = os.Remove(filepath.Join(dir, name)) }
	}
	write := func(name, text string) func(string) {
		return func(dir string) { _ = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	directory := func(dir string) {
		_ = os.Remove(filepath.Join(dir, "ca.pem"))
		_ = os.Mkdir(filepath.Join(dir, "ca.pem"), 0o700)
	}
	_, otherKey := ca.Pair(nil, "x")
	for name, test := range map[string]struct {
		edit  func(*x509.Certificate)
		spoil func(dir string)
		want  string
	}{
		"certificate missing": {nil, remove("cert.pem"), "cert.pem: no such file or directory"},
		"key missing":         {nil, remove("key.pem"), "key.pem: no such file or directory"},
		"CA missing":          {nil, remove("ca.pem"), "ca.pem: no such file or directory"},
		"a directory":         {nil, directory, "ca.pem: is a directory"},
		"not PEM":             {nil, write("cert.pem", "hello"), "cert.pem: is not PEM"},
		"another key":         {nil, write("key.pem", otherKey), "key.pem: tls: private key does not match public key"},
		"a key for a CA":      {nil, write("ca.pem", otherKey), `ca.pem: holds "PRIVATE KEY", expected "CERTIFICATE"`},
		"expired":             {past, nil, "cert.pem: the certificate expired on"},
		"not valid yet":       {future, nil, "cert.pem: the certificate is not valid before"},
		"for clients only":    {clientsOnly, nil, "cert.pem: the certificate is not for servers"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ca.Files(dir, test.edit, "broker.test")
			if test.spoil != nil {
				test.spoil(dir)
			}
			if _, err := filesIn(dir).LoadServer(now); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("load: have %v, want %s", err, test.want)
			}
			cfg := DefaultConfig()
			cfg.TLS = filesIn(dir)
			b := newBroker(t, cfg, testOptions(t))
			if err := b.Open(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("open: have %v, want %s", err, test.want)
			}
		})
	}
}

func TestCertificates_HandshakeVerifiesBothSides(t *testing.T) {
	ca, stranger := authority.New(t, time.Now()), authority.New(t, time.Now())
	b, _ := openTLS(t, ca, hclog.NewNullLogger())
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, -2, 0), time.Now().AddDate(0, -1, 0)
	}
	wrong := stranger.Client(nil, "web1")
	wrong.RootCAs = ca.Pool()
	trusting := func(a *authority.Authority, minVersion, maxVersion uint16) *tls.Config {
		return &tls.Config{RootCAs: a.Pool(), MinVersion: minVersion, MaxVersion: maxVersion}
	}
	for name, test := range map[string]struct {
		config *tls.Config
		want   string // error; empty: admitted
	}{
		"right certificate":      {ca.Client(nil, "web1"), ""},
		"no certificate":         {trusting(ca, tls.VersionTLS12, 0), "Authorization Violation"},
		"certificate of another": {wrong, "tls"},
		"expired":                {ca.Client(past, "web1"), "tls"},
		"client trusts another":  {trusting(stranger, tls.VersionTLS12, 0), "certificate signed by unknown authority"},
		"TLS 1.1":                {trusting(ca, tls.VersionTLS10, tls.VersionTLS11), "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := connectTLS(b, test.config)
			if nc != nil {
				defer nc.Close()
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("have %v, want %s", err, test.want)
			}
		})
	}
	t.Run("no TLS", func(t *testing.T) {
		if nc, err := nats.Connect("nats://"+b.Address(), nats.Timeout(2*time.Second)); err == nil {
			nc.Close()
			t.Error("admitted")
		}
	})
	t.Run("internal connection", func(t *testing.T) {
		nc, err := b.Connect("component")
		if err != nil {
			t.Fatalf("it needs no certificate: %v", err)
		}
		nc.Close()
	})
}

func TestCertificates_ReloadKeepsConnections(t *testing.T) {
	var log syncBuffer
	ca := authority.New(t, time.Now())
	b, dir := openTLS(t, ca, hclog.New(&hclog.LoggerOptions{Output: &log}))
	node, err := connectTLS(b, ca.Client(nil, "web1"), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	presented := func() string {
		t.Helper()
		nc, err := connectTLS(b, ca.Client(nil, "web2"))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		state, err := nc.TLSConnectionState()
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	stop, published := make(chan struct{}), make(chan error, 1)
	go func() { // load
		for {
			select {
			case <-stop:
				published <- node.FlushTimeout(10 * time.Second)
				return
			default:
				_ = node.Publish("choria.lifecycle.event.load", []byte("x"))
			}
		}
	}()
	soon := func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, 20) }
	ca.Files(dir, soon, "replaced.test")
	b.Reload(b.cfg.Roles)
	if name := presented(); name != "replaced.test" {
		t.Errorf("the next handshake presents %s", name)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Reload(b.cfg.Roles)
	if name := presented(); name != "replaced.test" {
		t.Errorf("a broken file is in use: %s", name)
	}
	close(stop)
	if err := <-published; err != nil {
		t.Errorf("the node was dropped: %v", err)
	}
	for _, want := range []string{
		"certificates reloaded", "certificate expires soon",
		"certificates not reloaded, the previous ones stay in use: " +
			"error=" + filepath.Join(dir, "cert.pem") + ": is not PEM\"",
	} {
		if have := strings.ReplaceAll(log.String(), `error="`, "error="); !strings.Contains(have, want) {
			t.Errorf("the log lacks %q:\n%s", want, have)
		}
	}
}

func TestBroker_BadHandshakesDoNotDisturbNodes(t *testing.T) {
	half := 1000
	if testing.Short() {
		half = 100
	}
	ca := authority.New(t, time.Now())
	b, _ := openTLS(t, ca, hclog.NewNullLogger())
	node, err := connectTLS(b, ca.Client(nil, "web1"), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if err := node.Flush(); err != nil {
		t.Fatal(err)
	}
	before, heap := runtime.NumGoroutine(), heapInUse()
	hello := []byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00}
	var bad []net.Conn
	for n := range half {
		c, err := net.Dial("tcp", b.Address())
		if err != nil {
			t.Fatal(err)
		}
		bad = append(bad, c)
		switch n % 4 {
		case 0: // sends nothing
		case 1: // begins a handshake and stops
			_, _ = c.Write(hello)
		case 2: // garbage
			_, _ = c.Write(bytes.Repeat([]byte{0xff}, 100))
		case 3: // sends a byte at a time
			go func() {
				for _, b := range bytes.Repeat(hello, 100) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}()
		}
	}
	// The server closes them all; meanwhile it serves the node as before.
	if testing.Short() {
		for _, c := range bad {
			_ = c.Close()
		}
	}
	deadline := time.Now().Add(40 * time.Second)
	for _, c := range bad {
		_ = c.SetReadDeadline(deadline)
		for buffer := make([]byte, 1024); ; {
			if _, err := c.Read(buffer); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("a bad handshake stays open")
				}
				break
			}
			if err := node.FlushTimeout(time.Second); err != nil {
				t.Fatalf("the node is not served: %v", err)
			}
		}
		_ = c.Close()
	}
	wait.Eventually(t, func() error {
		if n, now := runtime.NumGoroutine(), heapInUse(); n > before+10 || now > heap+8<<20 {
			return fmt.Errorf("%d goroutines, %d before; %d MiB of heap, %d before", n, before, now>>20, heap>>20)
		}
		return nil
	})
}

// heapInUse returns the size of the heap in bytes, after a garbage collection.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
