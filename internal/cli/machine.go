package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/internal/monitoring"
)

const (
	// otherDescriptors are for what is no node: files of streams, the console, clients.
	otherDescriptors = 1024
	// enoughBacklog is Linux's own somaxconn, and enough for tens of thousands of nodes.
	enoughBacklog = 4096
)

// machine is what a host gives.
type machine struct {
	descriptors, backlog, tracked func() (uint64, error)
	clock                         func() (bool, error)
	space                         func(dir string) (host.Space, error)
	listen                        func(address string) error
}

func thisMachine() machine {
	return machine{host.Descriptors, host.Backlog, host.Tracked, host.ClockSynced, host.SpaceOf, tryListen}
}

func tryListen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

func (c *hostCheck) port(address string) (string, monitoring.Status, error) {
	_, port, _ := net.SplitHostPort(address) // checked with the configuration
	err := c.listen(address)
	switch {
	case err == nil:
		return address + " is free", monitoring.OK, nil
	case errors.Is(err, syscall.EADDRINUSE) && c.running:
		return address + ", where the appliance listens", monitoring.OK, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s is taken by another program: ss -ltnp 'sport = :%s' shows which; stop it, or listen elsewhere", address, port), monitoring.Critical, nil
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("%s is no address of this machine: ip address lists those that are; 0.0.0.0 is all of them", address), monitoring.Critical, nil
	case errors.Is(err, syscall.EACCES):
		return address + " is for root alone: listen on a port from 1024 on", monitoring.Critical, nil
	}
	return "", monitoring.Unknown, err
}

// lookDescriptors holds them against the connections that the broker takes.
func (c *hostCheck) lookDescriptors() (string, monitoring.Status, error) {
	have, err := c.descriptors()
	if err != nil {
		return "", monitoring.Unknown, err
	}
	most := uint64(c.cfg.Broker.MaxConnections)
	if want := most + otherDescriptors; have < want {
		text := fmt.Sprintf("%s, and %s connections need %s: set LimitNOFILE=%d in the unit, or lower broker.max_connections",
			count(have), count(most), count(want), want)
		if have > 2*otherDescriptors {
			text += fmt.Sprintf(" to %d", have-otherDescriptors)
		}
		return text, monitoring.Warning, nil
	}
	return fmt.Sprintf("%s, enough for %s connections", count(have), count(most)), monitoring.OK, nil
}

func (c *hostCheck) lookBacklog() (string, monitoring.Status, error) {
	have, err := c.backlog()
	if want := min(uint64(c.cfg.Broker.MaxConnections), enoughBacklog); err == nil && have < want {
		return fmt.Sprintf("%s connections may wait at a port, and all nodes come at once after a restart: sysctl -w net.core.somaxconn=%d, and in /etc/sysctl.d",
			count(have), want), monitoring.Warning, nil
	}
	return count(have) + " connections may wait at a port", monitoring.OK, err
}

func (c *hostCheck) lookTracked() (string, monitoring.Status, error) {
	have, err := c.tracked()
	want := uint64(c.cfg.Broker.MaxConnections) * 2 // those that have ended are kept for a while
	switch {
	case err != nil || have == 0:
		return "connections are not tracked", monitoring.OK, err
	case have < want:
		return fmt.Sprintf("the firewall keeps track of %s connections, and drops what is more: sysctl -w net.netfilter.nf_conntrack_max=%d, and in /etc/sysctl.d",
			count(have), want), monitoring.Warning, nil
	}
	return fmt.Sprintf("the firewall keeps track of %s connections", count(have)), monitoring.OK, nil
}

func (c *hostCheck) lookDisk() (string, monitoring.Status, error) {
	dir, err := filepath.Abs(c.cfg.DataDir)
	if err != nil {
		return "", monitoring.Unknown, err
	}
	there := dir
	for _, err := os.Stat(there); errors.Is(err, fs.ErrNotExist) && there != "/"; _, err = os.Stat(there) {
		there = filepath.Dir(there)
	}
	space, err := c.space(there)
	if err != nil {
		return "", monitoring.Unknown, err
	}
	if short := appliance.DiskShort(space); short != "" {
		return dir + ": " + short, monitoring.Critical, nil
	}
	used, err := stored(dir)
	if err != nil {
		return "", monitoring.Unknown, err
	}
	want := uint64(c.cfg.Declared.MaxDiskBytes(c.cfg.JetStream.MaxStorage))
	if have := used + space.Free; have < want {
		return fmt.Sprintf("%s: streams may take %s and have room for %s: give it %s more, or lower their max_bytes",
			dir, humanize.IBytes(want), humanize.IBytes(have), humanize.IBytes(want-have)), monitoring.Warning, nil
	}
	return fmt.Sprintf("%s: %s free, %s used of the %s that streams may take", dir, humanize.IBytes(space.Free), humanize.IBytes(used), humanize.IBytes(want)), monitoring.OK, nil
}

// stored is what files under a directory take. One that goes meanwhile takes nothing.
func stored(dir string) (bytes uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				bytes += uint64(info.Size())
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return bytes, err
}

func (c *hostCheck) lookClock() (string, monitoring.Status, error) {
	kept, err := c.clock()
	if err == nil && !kept {
		return "nothing keeps it right, and tokens, signatures and times depend on it: timedatectl set-ntp true, or install chrony", monitoring.Warning, nil
	}
	return "kept right", monitoring.OK, err
}
