package cli

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// enrollClient enrolls a client and returns its configuration.
func (s *madeSite) enrollClient(name, identity string) choriaConf {
	s.t.Helper()
	out := s.muster("enroll", "--client", name)
	for _, want := range []string{identity + " is enrolled as a client", "~/.choriarc", "/etc/choria/client.conf",
		"as the user rip:", "\n  choria ping\n"} {
		if !strings.Contains(out, want) {
			s.t.Errorf("enroll --client does not print %q:\n%s", want, out)
		}
	}
	return readConf(s.t, filepath.Join(s.dir, "clients", identity, "client.conf"))
}

// ping sends a request to all nodes as "choria ping" does, and waits for the reply of a node.
func ping(t *testing.T, client, node *nats.Conn, collective, callerID string) {
	t.Helper()
	caller := md5.Sum([]byte(callerID))
	reply := collective + ".reply." + hex.EncodeToString(caller[:]) + ".1"
	replies, err := client.SubscribeSync(reply)
	if err != nil {
		t.Fatal(err)
	}
	requests, err := node.SubscribeSync(collective + ".broadcast.agent.discovery")
	if err != nil {
		t.Fatal(err)
	}
	for _, nc := range []*nats.Conn{client, node} { // the broker has the subscriptions
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Publish(requests.Subject, []byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := requests.NextMsg(10 * time.Second); err != nil {
		t.Fatalf("the node gets no request: %v", err)
	}
	if err := node.Publish(reply, []byte("pong")); err != nil {
		t.Fatal(err)
	}
	if _, err := replies.NextMsg(10 * time.Second); err != nil {
		t.Fatalf("the client gets no reply: %v", err)
	}
}

func TestEnroll_ClientPingsNodes(t *testing.T) {
	for name, test := range map[string]struct {
		flags              []string
		user               string
		identity, callerID string
	}{
		"certificate": {nil, "rip.mcollective", "rip.mcollective", "choria=rip.mcollective"},
		"token":       {[]string{"--issuer"}, "rip", "choria=rip", "choria=rip"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMadeSite(t, test.flags...)
			conf := s.enrollClient(test.user, test.identity)
			options, _ := conf.credentials(test.callerID)
			client, err := conf.dial(options)
			if err != nil {
				t.Fatal(err)
			}
			node, _ := s.enroll("web1.example.net").start()
			ping(t, client, node, conf.keys["collectives"], test.callerID)
			s.muster("revoke", test.identity)
			s.reload()
			wait.Eventually(t, func() error {
				if !client.IsClosed() {
					return errors.New("the connection is open")
				}
				return nil
			})
			if _, err := conf.dial(options); err == nil {
				t.Error("the client connected again")
			}
		})
	}
}

func TestEnroll_ClientTokenNamesActions(t *testing.T) {
	s := newMadeSite(t, "--issuer")
	conf := s.enrollClient("rip.mcollective", "choria=rip")
	issuer, err := choria.PublicKey(conf.keys["plugin.security.issuer.choria.public"])
	if err != nil {
		t.Fatal(err)
	}
	tokens := choria.NewTokenVerifier(choria.Issuers{"choria": issuer}, choria.Signers{})
	claims, err := tokens.Verify(string(conf.file("plugin.security.choria.token_file")), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if claims.CallerID != "choria=rip" || !claims.Permissions["fleet_management"] ||
		strings.Join(claims.Agents, " ") != "*" {
		t.Errorf("the token has %+v", claims)
	}
	if node := s.enroll("web1.example.net"); node.keys["rpcauthprovider"] != "aaasvc" {
		t.Errorf("the node authorizes with %q, not with the tokens of callers", node.keys["rpcauthprovider"])
	}
}

func TestEnroll_ClientsAndNodesAreNotConfused(t *testing.T) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	s.muster("init", "--name", "127.0.0.1", "--listen", freeAddress(t))
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a client's name for a node": {[]string{"rip.mcollective"}, "add --client"},
		"a node's name for a client": {[]string{"--client", "web1.example.net"}, "would be that of a node"},
		"not a name":                 {[]string{"--client", "a b"}, "is not valid"},
		"not a directory":            {[]string{"--client", "rip", "--install-dir", "x"}, "is not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"enroll", "--dir", s.dir}, test.args...)
			status, out, errOut := muster(t, args...)
			if status != statusFailed || !strings.Contains(errOut, test.want) {
				t.Errorf("status %d %s%s", status, out, errOut)
			}
		})
	}
	for _, dir := range []string{"nodes", "clients"} {
		if _, err := os.Stat(filepath.Join(s.dir, dir)); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
}

func TestEnroll_SaysWhatDecidesOverActions(t *testing.T) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	s.muster("init", "--name", "127.0.0.1", "--listen", freeAddress(t))
	out := s.muster("enroll", "web1.example.net")
	if !strings.Contains(out, "see rpcauthorization in /etc/choria/server.conf") {
		t.Errorf("enroll does not name the key:\n%s", out)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "nodes", "web1.example.net", "server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n# rpcauthorization = false\n") {
		t.Errorf("server.conf does not have the choice:\n%s", text)
	}
}

// TestEnroll_Transcript records what enroll prints for nodes and clients, with certificates and with tokens.
func TestEnroll_Transcript(t *testing.T) {
	var transcript strings.Builder
	for _, flags := range [][]string{nil, {"--issuer"}} {
		dir := t.TempDir()
		muster(t, append([]string{"init", "--name", "collector1.example.net", "--dir", dir}, flags...)...)
		for _, args := range []string{
			"web1.example.net", "web1.example.net", "--client rip", "--client ops.choria --install-dir /opt/choria",
			"rip.mcollective", "--client web2.example.net",
			"--site ams collector1.ams.example.net", "--site fra collector1.fra.example.net --install-dir /opt/muster",
			"--site rack1 rack1.ams.example.net --broker collector1.ams.example.net:4222",
			"web1.ams.example.net --broker collector1.ams.example.net:4222", "--site ams collector2.ams.example.net",
		} {
			status, out, errOut := muster(t, append(append([]string{"enroll"}, strings.Fields(args)...), "--dir", dir)...)
			fmt.Fprintf(&transcript, "$ muster enroll %s --dir DIR   # init %s\n%sexit status: %d\n\n",
				args, strings.Join(flags, " "), strings.ReplaceAll(out+errOut, dir, "DIR"), status)
		}
	}
	compare(t, "enroll.txt", transcript.String())
}
