package host

import (
	"fmt"
	"syscall"
)

// Descriptors returns how many files and connections a process that is started from here may have
// open. It is the hard limit, because the Go runtime raises the soft limit to it.
func Descriptors() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of descriptors: %w", err)
	}
	return limit.Max, nil
}
