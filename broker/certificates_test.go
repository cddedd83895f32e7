package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/nats-io/nats.go"
)

func filesIn(dir string) tlsfile.Files {
	return tlsfile.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "ca.pem")}
}

// openTLS runs a broker with certificates of the authority, and its door open.
func openTLS(t *testing.T, ca *authority.Authority, log hclog.Logger) (b *Broker, dir string) {
	t.Helper()
	dir = t.TempDir()
	ca.Files(dir, nil, "broker.test")
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.TLS = filesIn(dir)
	b = New(cfg, DefaultJetStream(), Options{Name: "broker.test", Store: t.TempDir(), Verifier: trustNobody(), Now: time.Now, Log: log})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	return b, dir
}

func connectTLS(b *Broker, config *tls.Config, options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("tls://"+b.Address(), append(options, nats.Secure(config), nats.Timeout(5*time.Second))...)
}

func TestCertificateFilesThatCannotBeUsed(t *testing.T) {
	now := time.Now()
	ca := authority.New(t, now)
	past := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(0, -2, 0), now.AddDate(0, -1, 0) }
	future := func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 0, 1) }
	clientsOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	write := func(name, text string) func(string) {
		return func(dir string) { _ = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	_, otherKey := ca.Pair(nil, "x")
	for name, test := range map[string]struct {
		edit  func(*x509.Certificate)
		spoil func(dir string)
		want  string
	}{
		"certificate missing": {nil, func(dir string) { _ = os.Remove(filepath.Join(dir, "cert.pem")) }, "cert.pem: no such file or directory"},
		"key missing":         {nil, func(dir string) { _ = os.Remove(filepath.Join(dir, "key.pem")) }, "key.pem: no such file or directory"},
		"CA missing":          {nil, func(dir string) { _ = os.Remove(filepath.Join(dir, "ca.pem")) }, "ca.pem: no such file or directory"},
		"a directory": {nil, func(dir string) {
			_ = os.Remove(filepath.Join(dir, "ca.pem"))
			_ = os.Mkdir(filepath.Join(dir, "ca.pem"), 0o700)
		}, "ca.pem: is a directory"},
		"not PEM":          {nil, write("cert.pem", "hello"), "cert.pem: is not PEM"},
		"another key":      {nil, write("key.pem", otherKey), "key.pem: tls: private key does not match public key"},
		"a key for a CA":   {nil, write("ca.pem", otherKey), `ca.pem: holds "PRIVATE KEY", expected "CERTIFICATE"`},
		"expired":          {past, nil, "cert.pem: the certificate expired on"},
		"not valid yet":    {future, nil, "cert.pem: the certificate is not valid before"},
		"for clients only": {clientsOnly, nil, "cert.pem: the certificate is not for servers"},
	} {
		dir := t.TempDir()
		ca.Files(dir, test.edit, "broker.test")
		if test.spoil != nil {
			test.spoil(dir)
		}
		if _, err := filesIn(dir).LoadServer(now); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have %v, want %s", name, err, test.want)
		}
		cfg := DefaultConfig()
		cfg.Listen, cfg.TLS = "127.0.0.1:0", filesIn(dir)
		b := New(cfg, DefaultJetStream(), Options{Name: "b", Store: t.TempDir(), Verifier: trustNobody(), Now: time.Now, Log: hclog.NewNullLogger()})
		if err := b.Open(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: started: %v", name, err)
		}
		_ = b.Close(context.Background())
	}
}

func TestOnlyHoldersOfACertificateConnect(t *testing.T) {
	ca, stranger := authority.New(t, time.Now()), authority.New(t, time.Now())
	b, _ := openTLS(t, ca, hclog.NewNullLogger())
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, -2, 0), time.Now().AddDate(0, -1, 0)
	}
	wrong := stranger.Client(nil, "web1")
	wrong.RootCAs = ca.Pool()
	for name, test := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"right certificate": {ca.Client(nil, "web1"), ""},
		"no certificate":    {&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}, "Authorization Violation"},
		"a stranger's":      {wrong, "tls"},
		"expired":           {ca.Client(past, "web1"), "tls"},
		"it trusts another": {&tls.Config{RootCAs: stranger.Pool(), MinVersion: tls.VersionTLS12}, "certificate signed by unknown authority"},
		"TLS 1.1":           {&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version"},
	} {
		nc, err := connectTLS(b, test.config)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: have %v, want %s", name, err, test.want)
		}
		if nc != nil {
			nc.Close()
		}
	}
	if nc, err := nats.Connect("nats://"+b.Address(), nats.Timeout(2*time.Second)); err == nil {
		nc.Close()
		t.Error("connected without TLS")
	}
	organ, err := b.Connect("organ")
	if err != nil {
		t.Fatalf("an organ needs no certificate: %v", err)
	}
	organ.Close()
}

func TestCertificatesAreReplacedWithoutDroppingANode(t *testing.T) {
	var log syncBuffer
	ca := authority.New(t, time.Now())
	b, dir := openTLS(t, ca, hclog.New(&hclog.LoggerOptions{Output: &log}))
	node, err := connectTLS(b, ca.Client(nil, "web1"), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	shown := func() string {
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
	if name := shown(); name != "replaced.test" {
		t.Errorf("the next handshake shows %s", name)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Reload(b.cfg.Roles)
	if name := shown(); name != "replaced.test" {
		t.Errorf("a broken file is in use: %s", name)
	}
	close(stop)
	if err := <-published; err != nil {
		t.Errorf("the node was dropped: %v", err)
	}
	for _, want := range []string{"certificates reloaded", "certificates not reloaded, the previous ones stay in use: error=" + filepath.Join(dir, "cert.pem") + ": is not PEM\"", "certificate expires soon"} {
		if have := strings.ReplaceAll(log.String(), `error="`, "error="); !strings.Contains(have, want) {
			t.Errorf("the log lacks %q:\n%s", want, have)
		}
	}
}

func TestBadHandshakesDisturbNobody(t *testing.T) {
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
		case 0: // says nothing
		case 1: // begins a handshake and stops
			_, _ = c.Write(hello)
		case 2: // garbage
			_, _ = c.Write(bytes.Repeat([]byte{0xff}, 100))
		case 3: // goes on, a byte at a time
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
	// The server ends them all by itself; meanwhile the node is served as always.
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
					t.Fatal("a handshake is not ended")
				}
				break
			}
			if err := node.FlushTimeout(time.Second); err != nil {
				t.Fatalf("the node notices: %v", err)
			}
		}
		_ = c.Close()
	}
	for runtime.NumGoroutine() > before+10 || heapInUse() > heap+8<<20 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before; %d MiB of heap, %d before", runtime.NumGoroutine(), before, heapInUse()>>20, heap>>20)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// syncBuffer can be read while a logger writes to it.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
