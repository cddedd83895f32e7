package cli

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/bench"
)

// longTests is the variable that gives tests their full size.
const longTests = "MUSTER_TEST_LONG"

// long reports whether tests have their full size.
func long() bool { return os.Getenv(longTests) != "" && !raceDetector }

// burst returns the number of messages of a burst.
func burst() int {
	if long() {
		return 60_000
	}
	return 20_000
}

// raceDetector is true when the tests run with the race detector, which multiplies time and memory.
var raceDetector bool

// recordOften makes the appliance record its streams several times a second; with the race detector once a second,
// because the server has a data race if the first sync of a stream begins while the stream is created.
var recordOften = "[jetstream]\nsync_interval = '20ms'\n"

// runBench runs the command "bench" and returns its result.
func runBench(t *testing.T, args ...string) bench.Result {
	t.Helper()
	status, out, errOut := muster(t, append([]string{"bench", "--json"}, args...)...)
	var r bench.Result
	if err := json.Unmarshal([]byte(out), &r); status != 0 || err != nil {
		t.Fatalf("status %d: %v\n%s\n%s", status, err, out, errOut)
	}
	t.Logf("%+v\nserver %+v\nledger %+v", r, *r.Server, *r.Ledger)
	return r
}

// maxBeside is how many bytes of memory an appliance may take beside its buffer: what waits in the server for its
// own connections, in the store for the disk, and for the garbage collector. On a busy machine more waits.
const maxBeside = 256 << 20

func TestBench_ABurstThatFitsTheBufferIsStored(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("up to 60 000 messages")
	}
	r := runBench(t, "--buffer", "1GiB", "--messages", strconv.Itoa(burst()))
	if r.Messages != burst() || r.Stored != burst() || r.Missing+r.Duplicated+r.OutOfOrder != 0 {
		t.Errorf("%+v", r)
	}
	if r.Server.PeakMemory > 1<<30+maxBeside {
		t.Errorf("%d MiB of memory", r.Server.PeakMemory>>20)
	}
}

func TestBench_ABurstLargerThanTheBufferIsStoredOrDropped(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("up to 60 000 messages")
	}
	r := runBench(t, "--buffer", "64MiB", "--messages", strconv.Itoa(burst()))
	if uint64(r.Stored)+r.Ledger.Dropped != uint64(burst()) || r.Ledger.Dropped == 0 || r.Ledger.Rejected != 0 ||
		r.Duplicated+r.OutOfOrder != 0 {
		t.Errorf("%+v %+v", r, r.Ledger)
	}
	if r.Server.PeakMemory > 64<<20+maxBeside {
		t.Errorf("%d MiB of memory", r.Server.PeakMemory>>20)
	}
}

func TestBench_ASignedBurstIsStored(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a burst with a signature in each message")
	}
	messages := "6000"
	if long() {
		messages = "60000"
	}
	for credentials, protocol := range map[string]string{"certificates": "1", "tokens": "2"} {
		t.Run(credentials, func(t *testing.T) {
			r := runBench(t, "--tls", "--verify", "require", "--protocol", protocol, "--messages", messages)
			if strconv.Itoa(r.Stored) != messages || r.Missing+r.Duplicated+r.OutOfOrder != 0 || r.Ledger.Rejected != 0 {
				t.Errorf("%+v %+v", r, r.Ledger)
			}
			if r.Server.PeakMemory > 1<<30+maxBeside {
				t.Errorf("%d MiB of memory", r.Server.PeakMemory>>20)
			}
		})
	}
}

func TestBench_MeasuresASmallLoadOfEachKind(t *testing.T) {
	for name, args := range map[string][]string{
		"signed, of a size": {"--protocol", "1", "--signed", "--size", "10KiB"},
		"protocol 2":        {"--protocol", "2"},
		"at a rate":         {"--rate", "1000"},
		"over WebSocket":    {"--tls", "--websocket", "--protocol", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(args, "--messages", "400", "--senders", "100", "--connections", "5", "--buffer", "64MiB")
			r := runBench(t, args...)
			if r.Messages != 400 || r.Stored != 400 || r.Missing+r.Duplicated+r.OutOfOrder != 0 || r.Bytes == 0 ||
				r.StoredRate <= 0 || r.LatencyP50 <= 0 || r.LatencyP999 < r.LatencyP50 || r.Server.CPUSeconds <= 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestBench_RefusesAnImpossibleLoad(t *testing.T) {
	for _, args := range [][]string{
		{"--connections", "0"}, {"--tls", "--server", "127.0.0.1:4222"}, {"--senders", "3"}, {"--messages", "10"},
		{"--protocol", "3"}, {"--rate", "-1"}, {"--size", "10"}, {"--ceiling", "--server", "127.0.0.1:4222"},
		{"--websocket", "--server", "127.0.0.1:4222"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if status, _, errOut := muster(t, append([]string{"bench"}, args...)...); status != statusUsage || errOut == "" {
				t.Errorf("status %d, %s", status, errOut)
			}
		})
	}
}
