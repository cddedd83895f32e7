package appliance_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
)

func TestOpen_StartsBesideAnUndeclaredStreamOfTheSameSubject(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "[stream.OLD]\nsubjects = 'mine.>'\n")
	first := newAppliance(cfg)
	if err := first.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	renamed := testkit.Config(t, "[stream.NEW]\nsubjects = 'mine.>'\n")
	renamed.DataDir = cfg.DataDir
	var log bytes.Buffer
	a := appliance.New(renamed, appliance.Options{Version: "test", Log: hclog.New(&hclog.LoggerOptions{Output: &log})})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	js := testkit.JetStream(t, a)
	if _, err := js.Stream(t.Context(), "OLD"); err != nil {
		t.Errorf("the old stream is gone: %v", err)
	}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := `\"mine.>\" of existing stream OLD, which is not declared; remove that one (nats stream rm OLD)`
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, &log)
	}
}
