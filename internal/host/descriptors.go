package host

import (
	"fmt"
	"syscall"
)

// Descriptors is how many a process that is started from here may have open at most. It is the
// hard limit, for a Go program takes all that it can have.
func Descriptors() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of descriptors: %w", err)
	}
	return limit.Max, nil
}
