package appliance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/proxy"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// newProxied runs a hub and an edge that reaches its WebSocket through a proxy.
func newProxied(t *testing.T, o proxy.Options) *linked {
	t.Helper()
	p := proxy.New(o)
	t.Cleanup(p.Close)
	ca, files := authority.New(t, time.Now()), t.TempDir()
	ca.Files(files, nil, "edge-ams")
	return newLinked(t, linkedOptions{authority: ca, files: files, proxy: p, webSocket: true})
}

// A silent and a cut link are noticed in front of a proxy as they are without one.
func TestEdge_ForwardsThroughAProxy(t *testing.T) {
	t.Parallel()
	p := newProxied(t, proxy.Options{User: "edge", Password: "secret"})
	stop := p.load(t, 30)
	p.awaitForwarded(t, 30)
	p.link.Hole()
	noticed := p.awaitConnected(t, false)
	p.link.Heal()
	p.awaitForwarded(t, 1)
	p.link.Cut()
	p.awaitConnected(t, false)
	p.link.Heal()
	p.awaitForwarded(t, 30)
	stop()
	p.compare(t)
	if noticed > 10*time.Second { // twice what is promised
		t.Errorf("noticed after %s", noticed)
	}
	targets := p.proxy.Targets()
	if len(targets) < 4 || len(slices.Compact(targets)) != 1 || "wss://"+targets[0] != p.server {
		t.Errorf("the proxy connected to %q", targets)
	}
	if hub := p.edge.Forwards()[0]; hub.Proxy != "http://"+p.link.Address() {
		t.Errorf("the status shows the proxy %q", hub.Proxy)
	}
}

// An edge says why the proxy does not let it through, without the password.
func TestEdge_AProxyThatRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options proxy.Options
		want    string
	}{
		"another password": {proxy.Options{User: "edge", Password: "other"}, "it requires another user and password"},
		"forbidden":        {proxy.Options{User: "edge", Password: "secret", Refuse: 403}, `it answered "403 Forbidden"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxied(t, test.options)
			var status string
			wait.Eventually(t, func() error {
				hub := p.edge.Forwards()[0]
				if status = hub.Error; hub.Connected || status == "" {
					return fmt.Errorf("%+v", hub)
				}
				return nil
			})
			if !strings.Contains(status, test.want) || strings.Contains(status, "secret") {
				t.Errorf("%s; want %s", status, test.want)
			}
		})
	}
}
