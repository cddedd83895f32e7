package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/spf13/cobra"
)

func (p *program) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file",
		Long: `Check a configuration file and print everything that is wrong with it, or what it
declares. The exit status is 0 when it can be used, and 78 when not. Nothing is
started and nothing is changed.`,
		Example: `  muster check --config /etc/muster/appliance.toml
  muster check --config appliance.toml --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.check(asJSON) },
	}
	p.configFlag(cmd, configHelpRun)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(p.healthCommand(), p.hostCommand())
	return cmd
}

func (p *program) check(asJSON bool) error {
	cfg, err := loadChecked(p.configFile)
	var problems config.Problems
	if err != nil && !(asJSON && errors.As(err, &problems)) {
		return err
	}
	if asJSON {
		if err := p.printJSON(checkResult(cfg, problems)); err != nil {
			return err
		}
		if len(problems) > 0 {
			return silentError{statusConfig}
		}
		return nil
	}
	return p.printFound(cfg)
}

// loadChecked loads a configuration and looks at the files that it names.
func loadChecked(file string) (*appliance.Config, error) {
	cfg, err := appliance.Load(file)
	if err != nil {
		return cfg, err
	}
	if _, err := cfg.Broker.TLS.Expires(time.Now()); err != nil {
		return nil, config.Problems{{File: file, Key: "broker.tls", Text: err.Error()}}
	}
	if err := cfg.Console.TLS.Check(); err != nil {
		return nil, config.Problems{{File: file, Key: "console.tls", Text: err.Error()}}
	}
	return cfg, nil
}

// checkResult is what check --json prints.
func checkResult(cfg *appliance.Config, problems config.Problems) any {
	type problem struct {
		File string `json:"file"`
		Line int    `json:"line"`
		Key  string `json:"key"`
		Text string `json:"text"`
	}
	result := struct {
		OK              bool      `json:"ok"`
		Problems        []problem `json:"problems"`
		Warnings        []string  `json:"warnings"`
		CertificateDays *float64  `json:"certificate_days,omitempty"`
	}{OK: len(problems) == 0, Problems: []problem{}, Warnings: []string{}}
	for _, one := range problems {
		result.Problems = append(result.Problems, problem(one))
	}
	if cfg != nil {
		result.Warnings = append(result.Warnings, warnings(cfg)...)
		if days, has := certificateDays(cfg); has {
			result.CertificateDays = &days
		}
	}
	return result
}

// printFound says what the configuration would run.
func (p *program) printFound(cfg *appliance.Config) error {
	source := cfg.File
	if source == "" {
		source = "no file: the defaults"
	}
	rows := [][]string{
		{"identity", cfg.Identity},
		{"site", cfg.Site},
		{"data_dir", cfg.DataDir},
		{"nodes", "nats://" + cfg.Broker.Listen + protection(cfg)},
		{"let in", cfg.Broker.AuthSummary()},
		{"console", cfg.Console.URL(cfg.Console.Listen)},
		{"storage", config.FormatSize(cfg.JetStream.MaxStorage)},
	}
	for _, s := range cfg.Declared.StreamConfigs() {
		rows = append(rows, []string{"stream", s.Name + ": " + strings.Join(s.Subjects, ", ")})
	}
	for _, a := range cfg.EnabledAdapters() {
		rows = append(rows, []string{"adapter", fmt.Sprintf("%s: %s from %s to %s",
			a.Name, a.Ingest.Protocol, strings.Join(a.Ingest.Topics, ", "), a.Stream.Topic)})
	}
	if err := p.printTable([]string{"OK", source}, rows); err != nil {
		return err
	}
	for _, warning := range warnings(cfg) {
		fmt.Fprintln(p.out, "warning:", warning)
	}
	return nil
}

// warnings are those of the configuration, and of the certificate that it names.
func warnings(cfg *appliance.Config) []string {
	all := cfg.Warnings()
	if days, has := certificateDays(cfg); has && days < broker.WarnBefore.Hours()/24 {
		all = append(all, fmt.Sprintf("the certificate %s expires in %.0f days", cfg.Broker.TLS.Cert, days))
	}
	return all
}

// certificateDays is how long the broker's certificate is good; false where it has none.
func certificateDays(cfg *appliance.Config) (days float64, has bool) {
	end, err := cfg.Broker.TLS.Expires(time.Now())
	if err != nil || end.IsZero() {
		return 0, false
	}
	return time.Until(end).Hours() / 24, true
}

func protection(cfg *appliance.Config) string {
	if days, has := certificateDays(cfg); has {
		return fmt.Sprintf(" (TLS, certificate for %.0f more days)", days)
	}
	if cfg.Broker.Loopback() {
		return " (this machine only, no TLS)"
	}
	return " (no TLS)"
}
