package appliance

import (
	"slices"
	"strings"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/config"
)

// Reload applies the keys that Reloadable names, except log.level, and reads the broker's
// certificates again.
func (a *Appliance) Reload(cfg *Config) {
	a.broker.Reload(cfg.Broker.Roles)
	if a.cfg.isHub() {
		a.broker.ReloadSites(cfg.Broker.Sites)
	}
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
	return key == "log.level" || key == sitesKey || strings.HasPrefix(key, "broker.roles.") ||
		ofFleet && fleet.Reloadable(fleetKey)
}

// sitesKey is the key of the sites whose edges forward.
const sitesKey = "broker.sites"

// NeedRestart returns the changed keys that Reload does not apply. The first site in broker.sites, and the removal of
// the last one, need a restart because the default streams of a hub have other subjects. Without it, edges are not
// admitted.
func NeedRestart(running, cfg *Config) []string {
	return slices.DeleteFunc(config.Changed(running, cfg), func(key string) bool {
		return Reloadable(key) && (key != sitesKey || running.isHub() == cfg.isHub())
	})
}
