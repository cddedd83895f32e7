package broker

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/host"
)

func TestTheStoreIsReopenedWhenThereIsRoomAndNotTooOften(t *testing.T) {
	var out bytes.Buffer
	faults := []Fault{{Stream: "S", Detail: "no space left on device"}}
	free, reopened := uint64(0), 0
	s := storeWatch{
		dir:    "/data",
		log:    hclog.New(&hclog.LoggerOptions{Output: &out}),
		faults: func() []Fault { return faults },
		space:  func(string) (host.Space, error) { return host.Space{Total: 100 << 20, Free: free}, nil },
		reopen: func() error { reopened++; return errors.New("not yet") },
	}
	now := time.Unix(1000, 0)
	for range 50 {
		now = now.Add(storeInterval)
		s.look(now)
	}
	if reopened != 0 || strings.Count(out.String(), "store cannot be written") != 1 {
		t.Fatalf("reopened %d times without room:\n%s", reopened, &out)
	}
	free = 50 << 20
	for range 50 { // 25 seconds
		now = now.Add(storeInterval)
		s.look(now)
	}
	if reopened != 3 {
		t.Errorf("reopened %d times in 25 seconds", reopened)
	}
	faults = nil
	s.look(now)
	s.look(now)
	if strings.Count(out.String(), "store can be written again") != 1 {
		t.Errorf("have\n%s", &out)
	}
}
