package broker

import "golang.org/x/sys/unix"

// receivedBytes returns how many bytes have arrived at a TCP socket; 0: not known.
func receivedBytes(fd int) uint64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.Bytes_received
}
