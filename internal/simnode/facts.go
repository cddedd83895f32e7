package simnode

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// packages is how many installed packages a node's facts list. With these the facts are about
// 24 KiB of JSON, like those of an ordinary Linux server.
const packages = 270

var (
	families     = []string{"RedHat", "Debian", "Suse"}
	systems      = []string{"AlmaLinux", "Debian", "SLES"}
	roles        = []string{"web", "db", "queue", "cache", "build"}
	mountOptions = []string{"rw", "relatime", "attr2", "inode64"}
	words        = []string{
		"lib", "python3", "perl", "ruby", "systemd", "kernel", "gcc", "java", "nginx", "ssl",
		"xml", "json", "curl", "zlib", "dev", "utils", "common", "data", "core", "server",
	}
)

// facts returns the facts of a node as JSON. The same index gives the same facts.
func facts(identity string, index int) ([]byte, error) {
	r := rand.New(rand.NewPCG(uint64(index), 42))
	kind := index % len(systems)
	installed := map[string]any{}
	for len(installed) < packages {
		name := words[r.IntN(len(words))] + "-" + words[r.IntN(len(words))] + "-" + words[r.IntN(len(words))]
		installed[name] = map[string]string{
			"arch": "x86_64", "state": "installed",
			"version": fmt.Sprintf("%d.%d-%d.el9", r.IntN(9), r.IntN(30), r.IntN(9)),
		}
	}
	address := fmt.Sprintf("10.%d.%d.%d", index>>16&255, index>>8&255, index&255)
	interfaces, mounts := map[string]any{}, map[string]any{}
	for i := range 6 {
		interfaces[fmt.Sprintf("eth%d", i)] = map[string]any{
			"ip": address, "mac": mac(r), "mtu": 1500, "netmask": "255.255.0.0", "speed": 10000,
		}
		mounts[fmt.Sprintf("/srv/volume%d", i)] = map[string]any{
			"device": fmt.Sprintf("/dev/mapper/vg0-volume%d", i), "filesystem": "xfs",
			"size_bytes": 107374182400, "used_bytes": r.Int64N(107374182400), "options": mountOptions,
		}
	}
	return json.Marshal(map[string]any{
		"identity": identity,
		"role":     roles[index%len(roles)],
		"site":     fmt.Sprintf("dc%d", index%4),
		"os": map[string]any{
			"family": families[kind], "name": systems[kind], "release": map[string]any{"full": "9.4", "major": "9"},
		},
		"networking":  map[string]any{"fqdn": identity, "ip": address, "interfaces": interfaces},
		"mountpoints": mounts,
		"processors": map[string]any{
			"count": 4 << (index % 4), "isa": "x86_64", "models": []string{"AMD EPYC 9354P 32-Core Processor"},
		},
		"memory":   map[string]any{"total_bytes": int64(16<<30) << (index % 3), "used_bytes": r.Int64N(16 << 30)},
		"uptime":   map[string]any{"seconds": r.IntN(1e7)},
		"ssh":      map[string]any{"ecdsa": hexText(r, 64), "rsa": hexText(r, 256), "ed25519": hexText(r, 64)},
		"packages": installed,
	})
}

func mac(r *rand.Rand) string {
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", r.IntN(256), r.IntN(256), r.IntN(256))
}

func hexText(r *rand.Rand, digits int) string {
	text := make([]byte, digits)
	for i := range text {
		text[i] = "0123456789abcdef"[r.IntN(16)]
	}
	return string(text)
}
