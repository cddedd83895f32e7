package bench

import (
	"os"
	"testing"
	"time"
)

func TestCPUTime_ReturnsTimeOfProcess(t *testing.T) {
	deadline := time.Now().Add(100 * time.Millisecond)
	for time.Now().Before(deadline) { // use the processor
	}
	if cpu, err := cpuTime(os.Getpid()); err != nil || cpu <= 0 || cpu%(10*time.Millisecond) != 0 {
		t.Errorf("%s %v", cpu, err)
	}
	if _, err := cpuTime(1 << 30); err == nil {
		t.Error("a process that does not exist has used the processor")
	}
}

func TestMemory_ReturnsResidentAndPeakOfProcess(t *testing.T) {
	if resident, peak, err := memory(os.Getpid()); err != nil || resident < 1<<20 || peak < resident {
		t.Errorf("%d bytes, %d at most, %v", resident, peak, err)
	}
	if _, _, err := memory(1 << 30); err == nil {
		t.Error("a process that does not exist uses memory")
	}
}
