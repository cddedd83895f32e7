package cli

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
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
		Short: "Run an appliance in the foreground",
		Long: `Run an appliance in the foreground and log to standard error. Without a configuration
file it is a lab: it listens on loopback only, without TLS, and keeps its data in
./muster-data.

Stop it with SIGTERM or SIGINT: it disconnects the nodes, stores what they have sent, and
logs for each adapter how many messages had each outcome. A second signal stops it at once.

` + wrapText("Send SIGHUP to read the configuration and the certificates again. New certificates and "+
			"these keys apply without a restart: "+strings.Join(reloadedKeys(), ", ")+
			". Other changed keys need a restart; the log names them.", helpWidth),
		Example: `  muster run
  muster run --config /etc/muster/appliance.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context()) },
	}
	p.configFlag(cmd, configHelpRun)
	return cmd
}

// reloadedKeys returns the dotted configuration keys that SIGHUP applies, in the order of the file.
func reloadedKeys() []string {
	return slices.DeleteFunc(config.Paths(appliance.DefaultConfig()), func(key string) bool {
		return !appliance.Reloadable(key)
	})
}

// run opens an appliance, reloads it on each SIGHUP, and closes it when ctx is done.
func (p *program) run(ctx context.Context) error {
	cfg, err := loadChecked(p.configFile)
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
	a := appliance.New(cfg, appliance.Options{
		Version: version(), Commit: commit, ConfigFile: p.configFile, Log: log,
	})
	service := systemd{log}
	if err := service.whileOpening(func() error { return a.Open(ctx) }); err != nil {
		if ctx.Err() != nil {
			log.Info("stopped before it was ready")
			return nil
		}
		return err
	}
	logReady(log, cfg, a)
	service.ready("nodes register at " + a.BrokerAddress())
	var watchdog sync.WaitGroup
	watchdog.Go(func() { service.feedWatchdog(ctx, a.Alive) })
	for {
		select {
		case <-hup:
			p.reload(a, cfg, log)
		case <-ctx.Done():
			log.Info("stopping")
			service.notify(daemon.SdNotifyStopping)
			watchdog.Wait()
			return a.Close(context.Background())
		}
	}
}

// logReady logs the addresses of an open appliance.
func logReady(log hclog.Logger, cfg *appliance.Config, a *appliance.Appliance) {
	pairs := []any{
		"identity", cfg.Identity, "nodes", "nats://" + a.BrokerAddress(), "console", cfg.Console.URL(a.ConsoleAddress()),
		"data", a.DataDir(), "version", version(),
	}
	if listeners := a.Listeners(); len(listeners) > 0 {
		pairs = append(pairs, "listeners", listeners)
	}
	log.Info("ready", pairs...)
}

// reload reads the configuration again, applies the keys of reloadedKeys and the certificates, and
// logs the other changed keys. An invalid file changes nothing.
func (p *program) reload(a *appliance.Appliance, running *appliance.Config, log hclog.Logger) {
	cfg, err := appliance.Load(p.configFile)
	if err != nil {
		log.Error("configuration not reloaded", "error", err)
		return
	}
	log.SetLevel(hclog.LevelFromString(cfg.Log.Level))
	a.Reload(cfg)
	restart := appliance.NeedRestart(running, cfg)
	log.Info("configuration reloaded", "level", cfg.Log.Level, "needs_restart", restart)
}

// newLog returns a logger that writes to standard error.
func (p *program) newLog(cfg appliance.Log) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name:       "muster",
		Level:      hclog.LevelFromString(cfg.Level),
		JSONFormat: cfg.Format == "json",
		// The journal adds a time to each line.
		DisableTime: cfg.Format == "text" && isJournal(p.err),
		Output:      p.err,
	})
}
