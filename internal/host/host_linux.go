package host

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Backlog returns how many connections may wait on one port until the program accepts them.
func Backlog() (uint64, error) { return readNumber("/proc/sys/net/core/somaxconn") }

// Tracked returns how many connections the firewall can track, and 0 if it tracks none.
func Tracked() (uint64, error) {
	n, err := readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
	if os.IsNotExist(err) {
		return 0, nil
	}
	return n, err
}

func readNumber(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// timeError is what adjtimex(2) returns if the clock is not synchronized: TIME_ERROR.
const timeError = 5

// ClockSynced reports whether the kernel regards the clock as synchronized.
func ClockSynced() (bool, error) {
	state, err := syscall.Adjtimex(&syscall.Timex{}) // an empty Timex reads and sets nothing
	return state != timeError, err
}
