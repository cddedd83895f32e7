// Package host reads facts about the machine: free disk space, limits of descriptors, listen
// backlog and connection tracking, free ports, and whether the clock is synchronized. It does
// not evaluate them.
package host

import (
	"fmt"
	"syscall"
)

// Space is the size of a file system and the space that processes other than root's may still use,
// in bytes.
type Space struct{ Total, Free uint64 }

// SpaceOf returns the space of the file system that contains the directory.
func SpaceOf(dir string) (Space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return Space{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return Space{Total: s.Blocks * uint64(s.Bsize), Free: s.Bavail * uint64(s.Bsize)}, nil
}

// Has reports whether at least that many bytes and at least that percentage of the total are free.
func (s Space) Has(bytes, percent uint64) bool {
	return s.Free >= bytes && s.Free >= s.Total/100*percent
}
