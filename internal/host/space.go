// Package host tells what the machine gives: room on its disks, descriptors, the backlog of its
// ports, its clock. It judges nothing.
package host

import (
	"fmt"
	"syscall"
)

// Space is the room of a file system for those who are not root, in bytes.
type Space struct{ Total, Free uint64 }

// SpaceOf is the space where the directory lies.
func SpaceOf(dir string) (Space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return Space{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return Space{Total: s.Blocks * uint64(s.Bsize), Free: s.Bavail * uint64(s.Bsize)}, nil
}

// Has tells whether at least so many bytes and so many hundredths of the whole are free.
func (s Space) Has(bytes, percent uint64) bool {
	return s.Free >= bytes && s.Free >= s.Total/100*percent
}
