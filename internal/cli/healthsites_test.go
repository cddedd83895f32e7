package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// siteAnswers returns the answers of a ready appliance with its own site and these ones.
func siteAnswers(sites ...string) map[string]string {
	all := append([]string{`{"site":"ams","home":true,"state":"up"}`}, sites...)
	return withAnswer(readyAnswers(0, 0), "/api/v1/sites", `{"sites":[`+strings.Join(all, ",")+`]}`)
}

// hubAnswers returns the answers of a ready appliance that forwards to a hub.
func hubAnswers(fields, stream string) map[string]string {
	hub := fmt.Sprintf(`{"hubs":[{"hub":"central","servers":["tls://hub"],%s,"streams":{"S":{"mode":"all"%s}}}]}`,
		fields, stream)
	return withAnswer(readyAnswers(0, 0), "/api/v1/forward", hub)
}

func TestHealth_JudgesSitesAndHubs(t *testing.T) {
	const connected = `"connected":true,"since":"2026-01-02T03:04:05Z"`
	lost := func(ago time.Duration) string {
		return fmt.Sprintf(`"connected":false,"since":%q,"error":"refused"`, time.Now().Add(-ago).UTC().Format(time.RFC3339))
	}
	lag := func(seconds int) string {
		return fmt.Sprintf(`{"site":"fra","state":"up","streams":{"S":{"pending":3,"oldest_seconds":%d}}}`, seconds)
	}
	const down = `{"site":"nyc","state":"down","lag_seconds":9000,"streams":{"S":{"oldest_seconds":9000}}}`
	for _, test := range []struct {
		name    string
		answers map[string]string
		args    string
		status  int
		out     string // contained in the output
	}{
		{"sites are up", siteAnswers(lag(3)), "", 0, "; sites 1: 1 up, 0 down, 0 waiting; lag of fra S: 3 behind"},
		{"no other site", siteAnswers(), "", 0, "MUSTER OK ready; 200 nodes; 0 down; 0 late; certificate"},
		{"a site is down", siteAnswers(lag(3), down), "", 2,
			"MUSTER CRITICAL sites 2: 1 up, 1 down (nyc), 0 waiting;"},
		{"few sites are down", siteAnswers(lag(3), down), "--sites 1%,60%", 1,
			"MUSTER WARNING sites 2: 1 up, 1 down (nyc)"},
		{"sites are not judged", siteAnswers(down), "--sites=", 0, "MUSTER OK ready;"},
		{"a site is waiting", siteAnswers(`{"site":"sin","state":"waiting"}`), "", 0,
			"sites 1: 0 up, 0 down, 1 waiting; no lag"},
		{"lag of a site", siteAnswers(lag(400)), "", 1,
			"MUSTER WARNING lag of fra S: 3 behind, the oldest 6m40s old;"},
		{"large lag of a site", siteAnswers(lag(4000)), "", 2, "MUSTER CRITICAL lag of fra S"},
		{"lag is not judged", siteAnswers(lag(4000)), "--lag=", 0, "MUSTER OK"},
		{"paused streams do not lag", siteAnswers(`{"site":"fra","state":"up",` +
			`"streams":{"S":{"pending":3,"oldest_seconds":9000,"paused":true}}}`), "", 0, "no lag"},
		{"clock of a site", siteAnswers(`{"site":"fra","state":"up","clock_seconds":3600}`), "", 1,
			"MUSTER WARNING the clock of site fra is 1h0m0s ahead;"},

		{"hub connected", hubAnswers(connected, ""), "", 0, "hub central connected; no lag;"},
		{"hub lost for a moment", hubAnswers(lost(9*time.Second), ""), "", 0,
			"hub central NOT CONNECTED since "},
		{"hub lost", hubAnswers(lost(90*time.Second), ""), "", 1,
			"MUSTER WARNING hub central NOT CONNECTED since 1 minute ago"},
		{"hub lost for long", hubAnswers(lost(time.Hour), ""), "", 2,
			"MUSTER CRITICAL hub central NOT CONNECTED since 1 hour ago"},
		{"warning of a hub that is lost", withAnswer(hubAnswers(lost(9*time.Second), ""), "/readyz",
			`{"ready":true,"reasons":[],"warnings":[{"code":"hub-disconnected","what":"central","detail":"x"}]}`),
			"", 0, "MUSTER OK ready; 200 nodes"},
		{"hub lost, not judged", hubAnswers(lost(time.Hour), ""), "--disconnected=", 0, "MUSTER OK"},
		{"hub never connected", hubAnswers(`"connected":false,"since":"0001-01-01T00:00:00Z"`, ""), "", 2,
			"MUSTER CRITICAL hub central NOT CONNECTED, tls://hub;"},
		{"stream stalled", hubAnswers(connected, `,"stalled":"no space"`), "", 1,
			"MUSTER WARNING central S is stalled: no space;"},
		{"stream without a connection", hubAnswers(lost(9*time.Second), `,"stalled":"no connection"`), "", 0,
			"MUSTER OK"},
		{"stream lags", hubAnswers(connected, `,"unread":5,"read":2,"pending":2,"oldest_seconds":301`), "", 1,
			"MUSTER WARNING lag of central S: 7 behind, the oldest 5m1s old;"},
		{"ledger is not balanced", hubAnswers(connected, `,"read":2`), "", 1,
			"MUSTER WARNING the ledger of central S is not balanced;"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"check", "health", "--dropped=", "--server", fakeConsole(t, test.answers)}
			status, out, errOut := muster(t, append(args, strings.Fields(test.args)...)...)
			if status != test.status || !strings.Contains(out, test.out) || errOut != "" {
				t.Errorf("status %d\n%s%s", status, out, errOut)
			}
		})
	}
}
