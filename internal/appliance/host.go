package appliance

import (
	"context"
	"net"
	"os"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// lookupWait is how long the name service may take to say the host's domain.
const lookupWait = time.Second

// hostIdentity is the host's name with its domain, as far as that can be found out and is
// a name that an appliance can have.
func hostIdentity() string {
	name, err := os.Hostname()
	if err != nil || choria.CheckSender(name) != nil {
		return "localhost"
	}
	if strings.Contains(name, ".") {
		return name
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupWait)
	defer cancel()
	full, err := net.DefaultResolver.LookupCNAME(ctx, name)
	if full = strings.TrimSuffix(full, "."); err == nil && strings.HasPrefix(full, name+".") && choria.CheckSender(full) == nil {
		return full
	}
	return name
}
