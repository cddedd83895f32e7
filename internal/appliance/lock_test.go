package appliance_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit"
)

func TestOpen_RefusesADirectoryInUse(t *testing.T) {
	t.Parallel()
	cfg := testkit.Config(t, "")
	testkit.Open(t, cfg)
	err := newAppliance(cfg).Open(t.Context())
	want := fmt.Sprintf("data_dir: %s is in use by another appliance, process %d", cfg.DataDir, os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("have %v, want %s", err, want)
	}
}
