package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/monitoring"
)

const (
	// otherDescriptors are reserved for everything but nodes: files of streams, console, clients.
	otherDescriptors = 1024
	// minBacklog is Linux's default somaxconn. It is enough for tens of thousands of nodes.
	minBacklog = 4096
)

// hostCheck is one check of the machine. An error means that the fact could not be read.
type hostCheck struct {
	name string
	run  func() (status monitoring.Status, text string, err error)
}

// checks returns the checks in the order in which they are printed.
func (c *hostCommand) checks() []hostCheck {
	port := func(key, address string) hostCheck {
		return hostCheck{key, func() (monitoring.Status, string, error) { return c.checkPort(address) }}
	}
	checks := []hostCheck{port("broker.listen", c.cfg.Broker.ListenAddress())}
	for _, l := range c.cfg.Broker.Listeners() {
		_, address, _ := strings.Cut(l.URL, "://")
		checks = append(checks, port("broker."+l.Name+".listen", address))
	}
	return append(checks,
		port("console.listen", c.cfg.Console.Listen),
		hostCheck{"descriptors", c.checkDescriptors},
		hostCheck{"backlog", c.checkBacklog},
		hostCheck{"conntrack", c.checkTracking},
		hostCheck{"disk", c.checkDisk},
		hostCheck{"clock", c.checkClock},
	)
}

func (c *hostCommand) checkPort(address string) (monitoring.Status, string, error) {
	_, port, _ := net.SplitHostPort(address) // valid: checked with the configuration
	err := c.listen(address)
	switch {
	case err == nil:
		return monitoring.OK, address + " is free", nil
	case errors.Is(err, syscall.EADDRINUSE) && c.running:
		return monitoring.OK, address + " is in use by this appliance", nil
	case errors.Is(err, syscall.EADDRINUSE):
		return monitoring.Critical, fmt.Sprintf("%s is in use by another program: find it with ss -ltnp 'sport = :%s', "+
			"then stop it or choose another port", address, port), nil
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return monitoring.Critical, address + " is not an address of this machine: " +
			"list its addresses with ip address, or use 0.0.0.0 for all of them", nil
	case errors.Is(err, syscall.EACCES):
		return monitoring.Critical, "only root may listen on " + address + ": choose a port of 1024 or higher, " +
			"or allow it in the unit as docs/operate.md says", nil
	}
	return monitoring.Unknown, "", err
}

// checkDescriptors compares the limit of descriptors with the connections that the broker accepts.
func (c *hostCommand) checkDescriptors() (monitoring.Status, string, error) {
	limit, err := c.descriptors()
	if err != nil {
		return monitoring.Unknown, "", err
	}
	connections := uint64(c.cfg.Broker.MaxConnections)
	if needed := connections + otherDescriptors; limit < needed {
		text := fmt.Sprintf("the limit is %s, but %s connections need %s: set LimitNOFILE=%d in the unit, "+
			"or lower broker.max_connections", count(limit), count(connections), count(needed), needed)
		if limit > 2*otherDescriptors {
			text += fmt.Sprintf(" to %d", limit-otherDescriptors)
		}
		return monitoring.Warning, text, nil
	}
	text := fmt.Sprintf("the limit is %s, enough for %s connections", count(limit), count(connections))
	return monitoring.OK, text, nil
}

func (c *hostCommand) checkBacklog() (monitoring.Status, string, error) {
	limit, err := c.backlog()
	if needed := min(uint64(c.cfg.Broker.MaxConnections), minBacklog); err == nil && limit < needed {
		return monitoring.Warning, fmt.Sprintf("only %s connections can wait on a port, and after a restart all nodes "+
			"connect at once: run sysctl -w net.core.somaxconn=%d, and set it in /etc/sysctl.d", count(limit), needed), nil
	}
	return monitoring.OK, count(limit) + " connections can wait on a port", err
}

// checkTracking compares the firewall's limit with twice the connections that the broker accepts,
// because the firewall keeps closed connections for a while.
func (c *hostCommand) checkTracking() (monitoring.Status, string, error) {
	limit, err := c.tracked()
	needed := uint64(c.cfg.Broker.MaxConnections) * 2
	switch {
	case err != nil || limit == 0:
		return monitoring.OK, "the firewall does not track connections", err
	case limit < needed:
		return monitoring.Warning, fmt.Sprintf("the firewall tracks only %s connections and drops others: "+
			"run sysctl -w net.netfilter.nf_conntrack_max=%d, and set it in /etc/sysctl.d", count(limit), needed), nil
	}
	return monitoring.OK, fmt.Sprintf("the firewall tracks up to %s connections", count(limit)), nil
}

// checkDisk compares the size that the declared streams may reach with what they use now and what
// is free. The data directory need not exist yet.
func (c *hostCommand) checkDisk() (monitoring.Status, string, error) {
	dir, err := filepath.Abs(c.cfg.DataDir)
	if err != nil {
		return monitoring.Unknown, "", err
	}
	space, err := c.space(existingParent(dir))
	if err != nil {
		return monitoring.Unknown, "", err
	}
	if low := appliance.LowDisk(space); low != "" {
		return monitoring.Critical, dir + ": " + low, nil
	}
	used, err := diskUsage(dir)
	if err != nil {
		return monitoring.Unknown, "", err
	}
	needed := uint64(c.cfg.DeclaredStreams().MaxDiskBytes(c.cfg.JetStream.MaxStorage))
	if available := used + space.Free; available < needed {
		return monitoring.Warning, fmt.Sprintf("%s: streams may grow to %s, but there is room for only %s: add %s, "+
			"or lower their max_bytes", dir, humanize.IBytes(needed), humanize.IBytes(available),
			humanize.IBytes(needed-available)), nil
	}
	return monitoring.OK, fmt.Sprintf("%s: %s free; streams use %s and may grow to %s",
		dir, humanize.IBytes(space.Free), humanize.IBytes(used), humanize.IBytes(needed)), nil
}

// existingParent returns the directory itself, or the nearest parent that exists.
func existingParent(dir string) string {
	for dir != "/" {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// diskUsage returns the size of the files below a directory, in bytes. Files that are removed
// meanwhile do not count, and a missing directory has size 0.
func diskUsage(dir string) (bytes uint64, err error) {
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

func (c *hostCommand) checkClock() (monitoring.Status, string, error) {
	synced, err := c.clockSynced()
	if err == nil && !synced {
		return monitoring.Warning, "not synchronized, and tokens, signatures and times need a correct clock: " +
			"run timedatectl set-ntp true, or install chrony", nil
	}
	return monitoring.OK, "synchronized", err
}
