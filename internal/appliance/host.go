package appliance

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// lookupWait is how long the name service may take to say the host's domain.
const lookupWait = time.Second

// hostIdentity is the host's name with its domain, as far as that can be found out.
func hostIdentity() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	if strings.Contains(name, ".") {
		return name
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupWait)
	defer cancel()
	full, err := net.DefaultResolver.LookupCNAME(ctx, name)
	if full = strings.TrimSuffix(full, "."); err == nil && strings.HasPrefix(full, name+".") {
		return full
	}
	return name
}

// machineMemory is the memory of the machine in bytes.
func machineMemory() int64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 1 << 30 // a small machine, to be on the safe side
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// autoBuffer is what "auto" means for the buffers of that many adapters together: a
// quarter of the memory, at most 1 GiB each.
func autoBuffer(memory int64, adapters int) int64 {
	return min(memory/4/int64(max(adapters, 1)), 1<<30)
}
