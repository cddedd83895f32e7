package host

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Backlog is how many connections a port may have that nobody has accepted yet.
func Backlog() (uint64, error) { return setting("/proc/sys/net/core/somaxconn") }

// Tracked is how many connections the firewall can keep track of; 0: it keeps track of none.
func Tracked() (uint64, error) {
	n, err := setting("/proc/sys/net/netfilter/nf_conntrack_max")
	if os.IsNotExist(err) {
		return 0, nil
	}
	return n, err
}

func setting(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// timeError is what adjtimex(2) returns where nothing keeps the clock right.
const timeError = 5

// ClockKept tells whether something keeps the clock right, as the kernel knows it.
func ClockKept() (bool, error) {
	state, err := syscall.Adjtimex(&syscall.Timex{}) // which asks and sets nothing
	return state != timeError, err
}
