package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStreams_AcceptLoss(t *testing.T) {
	dir := t.TempDir()
	config := labConfig(t, dir, "")
	_, stop := startAppliance(t, config)
	accept := func(stream string, more ...string) (int, string) {
		t.Helper()
		status, out, errOut := muster(t, append([]string{"streams", "accept-loss", stream, "--config", config}, more...)...)
		return status, out + errOut
	}
	if status, text := accept("CHORIA_STREAM_ADVISORIES"); status != 1 ||
		!strings.Contains(text, "nothing is known to be lost of CHORIA_STREAM_ADVISORIES") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := accept("a.b"); status != 2 || !strings.Contains(text, `"a.b" is not a valid name for a stream`) {
		t.Errorf("%d %s", status, text)
	}
	stop()
	if status, text := accept("CHORIA_STREAM_ADVISORIES"); status != 1 ||
		!strings.Contains(text, "connect to the broker") {
		t.Errorf("%d %s", status, text)
	}
	lose := func() {
		t.Helper()
		// The creation of streams is stored there.
		if err := os.RemoveAll(filepath.Join(dir, "jetstream/choria/streams/CHORIA_STREAM_ADVISORIES")); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	var log *buffer
	log, stop = startAppliance(t, config)
	if !strings.Contains(log.String(), "messages are lost: stream=CHORIA_STREAM_ADVISORIES lost=") {
		t.Errorf("not logged:\n%s", log)
	}
	if status, text := accept("CHORIA_STREAM_ADVISORIES"); status != 0 ||
		text != "accepted: the warnings about CHORIA_STREAM_ADVISORIES have ended\n" {
		t.Errorf("%d %s", status, text)
	}
	stop()
	lose()
	startAppliance(t, config)
	if status, text := accept("CHORIA_STREAM_ADVISORIES", "--json"); status != 0 || strings.TrimSpace(text) != "{}" {
		t.Errorf("%d %s", status, text)
	}
}
