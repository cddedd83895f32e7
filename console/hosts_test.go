package console

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// ask sends a request for the host over a new connection, and returns status and body.
func ask(t *testing.T, conn net.Conn, version, host string) (status int, body string) {
	t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	header := "Host: " + host + "\r\n"
	if host == "" {
		header = ""
	}
	if _, err := fmt.Fprintf(conn, "GET /readyz HTTP/%s\r\n%s\r\n", version, header); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestHostCheck_AllowsOnlyThisConsole(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Hosts = []string{"Muster.Example.net", "192.0.2.7", "2001:DB8::1"}
	c := openConsole(t, cfg, Options{Names: []string{"collector1.example.net", "collector1"}}, 1024, nil)
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8222": 200, "x.localhost": 200, "127.0.0.1": 200, "127.0.0.1:1": 200,
		"127.9.9.9": 200, "[::1]:8222": 200, "[::ffff:127.0.0.1]": 200, c.Address(): 200,
		"collector1.example.net": 200, "collector1.example.net.:8222": 200, "collector1": 200,
		"muster.example.net": 200, "MUSTER.example.net:443": 200, "192.0.2.7": 200, "[2001:db8:0::1]:1": 200,
		"evil.example": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "xlocalhost": 421,
		"192.0.2.8": 421, "8.8.8.8:8222": 421, "[2001:db8::2]": 421, "collector1.example.net.evil.example": 421,
		"x.muster.example.net": 421, "2130706433": 421,
	} {
		t.Run(host, func(t *testing.T) {
			conn, err := net.Dial("tcp", c.Address())
			if err != nil {
				t.Fatal(err)
			}
			status, body := ask(t, conn, "1.1", host)
			if status != want {
				t.Errorf("have %d, want %d: %s", status, want, body)
			}
			if want == 421 && (!strings.Contains(body, `"code":"unknown-host"`) || !strings.Contains(body, "console.hosts")) {
				t.Errorf("have %s", body)
			}
		})
	}
	conn, err := net.Dial("tcp", c.Address())
	if err != nil {
		t.Fatal(err)
	}
	if status, body := ask(t, conn, "1.0", ""); status != 200 {
		t.Errorf("HTTP/1.0 without a host: %d %s", status, body)
	}
	if have := c.refusals.snapshot()[CodeUnknownHost]; have != 10 {
		t.Errorf("counted %d", have)
	}
}

// A console on every address is scraped by the address of any interface, without console.hosts.
func TestHostCheck_AllowsTheLocalAddress(t *testing.T) {
	check := newHostCheck(&Config{Listen: "0.0.0.0:8222"}, nil)
	for local, want := range map[string]bool{"192.0.2.1:8222": true, "192.0.2.2:8222": false} {
		t.Run(local, func(t *testing.T) {
			address, err := net.ResolveTCPAddr("tcp", local)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(
				contextWith(t, http.LocalAddrContextKey, address), http.MethodGet, "http://192.0.2.1:8222/metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			if have := check.allows(hostOf(r.Host), r); have != want {
				t.Errorf("have %v", have)
			}
		})
	}
}

func TestHostCheck_AllowsNamesOfTheCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := authority.New(t, time.Now())
	ca.Files(dir, nil, "metrics.example.net")
	cfg := DefaultConfig()
	cfg.TLS = tlsfile.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	c := openConsole(t, cfg, Options{}, 1024, nil)
	for host, want := range map[string]int{"metrics.example.net:8222": 200, "evil.example": 421} {
		t.Run(host, func(t *testing.T) {
			config := &tls.Config{RootCAs: ca.Pool(), ServerName: "metrics.example.net", MinVersion: tls.VersionTLS12}
			conn, err := tls.Dial("tcp", c.Address(), config)
			if err != nil {
				t.Fatal(err)
			}
			if status, body := ask(t, conn, "1.1", host); status != want {
				t.Errorf("have %d %s", status, body)
			}
		})
	}
}
