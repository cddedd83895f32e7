package cli

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/spf13/cobra"
)

func (p *program) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run an appliance until it is told to stop",
		Long: `Run an appliance in the foreground. Without a configuration file it is a lab: it
listens on loopback only, without TLS, and keeps its data in ./muster-data.

SIGTERM and SIGINT stop it: nodes are disconnected, what they have sent is stored,
and the last line of the log says what became of every message. A second signal
stops it at once. SIGHUP reads the configuration and the certificates again and applies
the log level and the roles of certificates.`,
		Example: `  muster run
  muster run --config /etc/muster/appliance.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context()) },
	}
	p.configFlag(cmd, configHelpRun)
	return cmd
}

func (p *program) run(ctx context.Context) error {
	cfg, err := loadChecked(p.config)
	if err != nil {
		return err
	}
	log := p.newLog(cfg.Log)
	for _, warning := range cfg.Warnings() {
		log.Warn("configuration", "warning", warning)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	a, systemd := appliance.New(cfg, appliance.Options{Version: version(), Log: log}), service{log}
	if err := systemd.opening(func() error { return a.Open(ctx) }); err != nil {
		if ctx.Err() != nil {
			log.Info("told to stop before it was ready")
			return nil
		}
		return err
	}
	log.Info("ready", "identity", cfg.Identity, "nodes", "nats://"+a.BrokerAddress(),
		"console", cfg.Console.URL(a.ConsoleAddress()), "data", a.DataDir(), "version", version())
	systemd.ready("nodes register at " + a.BrokerAddress())
	var watching sync.WaitGroup
	watching.Go(func() { systemd.watch(ctx, a.Alive) })
	for {
		select {
		case <-hup:
			p.reload(a, cfg, log)
		case <-ctx.Done():
			log.Info("stopping")
			systemd.notify(daemon.SdNotifyStopping)
			watching.Wait()
			return a.Close(context.Background())
		}
	}
}

// reload applies what can change while the appliance runs, and names what cannot.
func (p *program) reload(a *appliance.Appliance, running *appliance.Config, log hclog.Logger) {
	cfg, err := appliance.Load(p.config)
	if err != nil {
		log.Error("configuration not reloaded", "error", err)
		return
	}
	log.SetLevel(hclog.LevelFromString(cfg.Log.Level))
	a.Reload(cfg)
	restart := slices.DeleteFunc(config.Changed(running, cfg), appliance.Reloaded)
	log.Info("configuration reloaded", "level", cfg.Log.Level, "needs_restart", restart)
}

// newLog logs to standard error.
func (p *program) newLog(cfg appliance.Log) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name:       "muster",
		Level:      hclog.LevelFromString(cfg.Level),
		JSONFormat: cfg.Format == "json",
		// The journal has its own times.
		DisableTime: cfg.Format == "text" && journaled(p.err),
		Output:      p.err,
	})
}
