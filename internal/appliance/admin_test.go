package appliance_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// tokenWritten returns an error unless the admin token is in its file, which only its owner can
// read, and is not the text stale.
func tokenWritten(cfg *appliance.Config, stale string) error {
	info, err := os.Stat(cfg.TokenFile())
	if err != nil {
		return err
	}
	text, err := os.ReadFile(cfg.TokenFile())
	if info.Mode() != 0o600 || len(text) < 20 || string(text) == stale {
		return fmt.Errorf("mode %s, %d bytes", info.Mode(), len(text))
	}
	return err
}

func TestAppliance_AdminTokenReplacesAFileOfAnyMode(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "")
	for _, file := range []string{cfg.TokenFile(), cfg.TokenFile() + ".tmp"} { // the second after a crash
		if err := os.WriteFile(file, []byte("the token of an earlier process"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Open(t, cfg)
	if err := tokenWritten(cfg, "the token of an earlier process"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(cfg.TokenFile() + ".tmp"); err == nil {
		t.Error("the temporary file is still there")
	}
}

func TestAppliance_AdminTokenIsRetried(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "")
	if err := os.MkdirAll(filepath.Join(cfg.TokenFile(), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	testkit.Open(t, cfg)
	if err := os.RemoveAll(cfg.TokenFile()); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error { return tokenWritten(cfg, "") })
}

func TestAppliance_AdminTokenIsRetriedWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "")
	cfg.DataDir = smallDisk(t, 8<<20)
	first := newAppliance(cfg) // creates the streams
	if err := first.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	const stale = "the token of a process that was killed"
	if err := os.WriteFile(cfg.TokenFile(), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(cfg.DataDir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 9<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	testkit.Open(t, cfg)
	if err := tokenWritten(cfg, ""); err == nil {
		t.Fatal("a token was written to a full disk, or the stale one is still there")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error { return tokenWritten(cfg, stale) })
}
