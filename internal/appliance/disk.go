package appliance

import (
	"fmt"
	"syscall"

	"github.com/dustin/go-humanize"
)

// The disk is short below either of these.
const (
	leastFree        = 1 << 30
	leastFreePercent = 5
)

// disk is the room where the data directory is.
type disk struct{ total, free uint64 }

func statDisk(dir string) (disk, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return disk{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return disk{total: s.Blocks * uint64(s.Bsize), free: s.Bavail * uint64(s.Bsize)}, nil
}

// short says in words why there is too little room; it is empty where there is enough.
func (d disk) short(dir string) string {
	if d.free >= leastFree && d.free >= d.total/100*leastFreePercent {
		return ""
	}
	return fmt.Sprintf("%s of %s is free in %s; make room, or lower the streams' max_bytes",
		humanize.IBytes(d.free), humanize.IBytes(d.total), dir)
}
