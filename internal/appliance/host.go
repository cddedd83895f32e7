package appliance

import (
	"context"
	"net"
	"os"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// lookupTimeout is how long the name service may take to return the host's domain.
const lookupTimeout = time.Second

// hostNames returns the names of this machine, for which a request to the console may be.
func (c *Config) hostNames() []string {
	names := []string{c.Identity}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	return names
}

// hostIdentity returns the host's name, with its domain if that can be found. It returns
// "localhost" if the name cannot be that of an appliance.
func hostIdentity() string {
	name, err := os.Hostname()
	if err != nil || choria.CheckSender(name) != nil {
		return "localhost"
	}
	if strings.Contains(name, ".") {
		return name
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	full, err := net.DefaultResolver.LookupCNAME(ctx, name)
	full = strings.TrimSuffix(full, ".")
	if err == nil && strings.HasPrefix(full, name+".") && choria.CheckSender(full) == nil {
		return full
	}
	return name
}
