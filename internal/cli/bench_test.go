package cli

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/muster-appliance/muster/internal/bench"
)

// raceDetector is true where it slows everything down and multiplies memory.
var raceDetector bool

// benched runs the bench command and gives its result.
func benched(t *testing.T, args ...string) bench.Result {
	t.Helper()
	status, out, errOut := muster(t, append([]string{"bench", "--json"}, args...)...)
	var r bench.Result
	if err := json.Unmarshal([]byte(out), &r); status != 0 || err != nil {
		t.Fatalf("status %d: %v\n%s\n%s", status, err, out, errOut)
	}
	t.Logf("%+v\nserver %+v\nledger %+v", r, *r.Server, *r.Ledger)
	return r
}

// beside is what an appliance may take beside its buffer.
const beside = 200 << 20

func TestBurstWithRoomIsStoredWhole(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("60 000 messages")
	}
	r := benched(t, "--buffer", "1GiB")
	if r.Messages != 60_000 || r.Stored != 60_000 || r.Missing+r.Duplicated+r.OutOfOrder != 0 {
		t.Errorf("%+v", r)
	}
	if r.Server.PeakMemory > 1<<30+beside {
		t.Errorf("%d MiB of memory", r.Server.PeakMemory>>20)
	}
}

func TestBurstWithoutRoomIsStoredOrCounted(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("60 000 messages")
	}
	r := benched(t, "--buffer", "64MiB")
	if uint64(r.Stored)+r.Ledger.Dropped != 60_000 || r.Ledger.Dropped == 0 || r.Duplicated+r.OutOfOrder != 0 || r.Ledger.Rejected != 0 {
		t.Errorf("%+v %+v", r, r.Ledger)
	}
	if r.Server.PeakMemory > 64<<20+beside {
		t.Errorf("%d MiB of memory", r.Server.PeakMemory>>20)
	}
}

// longTests is set where time is no matter: there bursts have their full size.
const longTests = "MUSTER_TEST_LONG"

func TestABurstThatProvesWhoWroteItIsStoredWhole(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a burst with a signature in each message")
	}
	messages := "6000"
	if os.Getenv(longTests) != "" {
		messages = "60000"
	}
	for protocol, proof := range map[string]string{"1": "certificates", "2": "tokens"} {
		r := benched(t, "--tls", "--verify", "require", "--protocol", protocol, "--messages", messages)
		if strconv.Itoa(r.Stored) != messages || r.Missing+r.Duplicated+r.OutOfOrder != 0 || r.Ledger.Rejected != 0 {
			t.Errorf("with %s: %+v %+v", proof, r, r.Ledger)
		}
		if r.Server.PeakMemory > 1<<30+beside {
			t.Errorf("with %s: %d MiB of memory", proof, r.Server.PeakMemory>>20)
		}
	}
}

func TestBenchMeasuresASmallLoadOfEachKind(t *testing.T) {
	for _, args := range [][]string{
		{"--protocol", "1", "--signed", "--size", "10KiB"},
		{"--protocol", "2"},
		{"--rate", "1000"},
	} {
		r := benched(t, append(args, "--messages", "400", "--senders", "100", "--connections", "5", "--buffer", "64MiB")...)
		if r.Messages != 400 || r.Stored != 400 || r.Missing+r.Duplicated+r.OutOfOrder != 0 || r.Bytes == 0 ||
			r.StoredRate <= 0 || r.LatencyP50 <= 0 || r.LatencyP999 < r.LatencyP50 || r.Server.CPUSeconds <= 0 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestBenchRefusesALoadThatCannotBe(t *testing.T) {
	for _, args := range [][]string{
		{"--connections", "0"}, {"--tls", "--server", "127.0.0.1:4222"}, {"--senders", "3"}, {"--messages", "10"}, {"--protocol", "3"}, {"--rate", "-1"}, {"--size", "10"},
	} {
		if status, _, errOut := muster(t, append([]string{"bench"}, args...)...); status != statusUsage || errOut == "" {
			t.Errorf("%v: status %d, %s", args, status, errOut)
		}
	}
}
