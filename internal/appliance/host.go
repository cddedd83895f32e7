package appliance

import (
	"context"
	"net"
	"os"
	"strings"
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
