package bench

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// Usage is what a process used while it was under load.
type Usage struct {
	CPUSeconds    float64 `json:"cpu_seconds"`
	CPUPerMessage float64 `json:"cpu_us_per_message"` // microseconds for each stored message
	PeakMemory    int64   `json:"peak_memory_bytes"`  // resident, since the process started
}

// cpuTime returns the processor time that a process has used since it started.
func cpuTime(pid int) (time.Duration, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	stat, err := p.Stat()
	if err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(stat.CPUTime() * float64(time.Second)), nil
}

// memory returns the resident memory of a process in bytes: now, and the most since it started.
func memory(pid int) (resident, peak int64, err error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, err
	}
	status, err := p.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return int64(status.VmRSS), int64(status.VmHWM), nil
}
