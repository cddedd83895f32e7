package appliance

import (
	"cmp"
	"runtime"

	"github.com/muster-appliance/muster/console"
)

// about describes the process as Choria's broker describes itself.
func (a *Appliance) about() console.About {
	rss, cpu := a.broker.Usage()
	return console.About{
		Build: console.Build{
			Version: a.opts.Version, SHA: a.commit(), BuildDate: "unknown", License: "Apache-2.0",
			TLS: a.cfg.Broker.TLS.Enabled(), Secure: a.verifier.CanVerify(), Go: runtime.Version(),
			MaxClients: a.cfg.Broker.MaxConnections,
		},
		System:     console.System{RSS: rss, CPU: cpu, Cores: runtime.NumCPU()},
		ConfigFile: a.opts.ConfigFile,
		Identity:   a.cfg.Identity,
		Listeners:  a.Listeners(),
	}
}

// commit returns the commit of the program, or "unknown", as in Choria.
func (a *Appliance) commit() string { return cmp.Or(a.opts.Commit, "unknown") }
