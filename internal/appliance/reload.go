package appliance

import (
	"strings"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
)

// Reload applies the keys that Reloadable names, except log.level, and reads the broker's
// certificates again.
func (a *Appliance) Reload(cfg *Config) {
	a.broker.Reload(cfg.Broker.Roles)
	if a.fleet != nil {
		a.fleet.Reload(cfg.Fleet)
	}
	for _, f := range a.forwards {
		if hub := cfg.Forward[f.Name()]; hub != nil {
			f.Reload(*hub)
		}
	}
}

// Reloadable reports whether a change of the key takes effect without a restart. The caller of
// Reload applies log.level.
func Reloadable(key string) bool {
	fleetKey, ofFleet := strings.CutPrefix(key, "fleet.")
	if hubKey, ofHub := strings.CutPrefix(key, "forward."); ofHub {
		_, hubKey, _ = strings.Cut(hubKey, ".")
		return forward.Reloadable(hubKey)
	}
	return key == "log.level" || strings.HasPrefix(key, "broker.roles.") || ofFleet && fleet.Reloadable(fleetKey)
}
