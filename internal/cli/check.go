package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/spf13/cobra"
)

func (p *program) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file, a running appliance, or this machine",
		Long: `Check a configuration file and the certificates that it names. Print every problem with its
line, or, if there is none, what the configuration declares. The exit status is 0 if the
file can be used and 78 if it cannot. Nothing is started or changed.`,
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
	return p.printSummary(cfg)
}

// loadChecked loads a configuration and checks the certificates and keys that it names. The error
// is a config.Problems.
func loadChecked(file string) (*appliance.Config, error) {
	cfg, err := appliance.Load(file)
	if err != nil {
		return cfg, err
	}
	if _, err := cfg.Broker.TLS.Expires(time.Now()); err != nil {
		return nil, config.Problems{{File: file, Key: "broker.tls", Text: err.Error()}}
	}
	var unusable config.Problems
	if _, err := cfg.Broker.CheckRevocations(cfg.CRLRecordFile(), time.Now()); errors.As(err, &unusable) {
		unusable[0].File = file
		return nil, unusable
	}
	if _, err := cfg.Console.TLS.Files().Load(); err != nil {
		return nil, config.Problems{{File: file, Key: "console.tls", Text: err.Error()}}
	}
	for _, f := range cfg.EnabledForwards() {
		if err := f.CheckFiles(cfg.Broker.TLS); err != nil {
			return nil, config.Problems{{File: file, Key: "forward." + f.Name, Text: err.Error()}}
		}
	}
	for _, r := range cfg.Broker.Leafnodes.EnabledRemotes() {
		if err := r.CheckFiles(cfg.Broker.TLS); err != nil {
			return nil, config.Problems{{File: file, Key: "broker.leafnodes.remote." + r.Name, Text: err.Error()}}
		}
	}
	return cfg, nil
}

// checkResult returns the value that check --json prints. A nil cfg has no warnings.
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
	for _, p := range problems {
		result.Problems = append(result.Problems, problem(p))
	}
	if cfg != nil {
		result.Warnings = append(result.Warnings, warnings(cfg)...)
		if days, ok := certificateDays(cfg); ok {
			result.CertificateDays = &days
		}
	}
	return result
}

// printSummary prints what an appliance with this configuration would run.
func (p *program) printSummary(cfg *appliance.Config) error {
	source := cfg.File
	if source == "" {
		source = "no file: the built-in defaults"
	}
	rows := [][]string{
		{"identity", cfg.Identity},
		{"site", cfg.Site},
		{"data_dir", cfg.DataDir},
		{"nodes", "nats://" + cfg.Broker.ListenAddress() + tlsNote(cfg)},
	}
	for _, l := range cfg.Broker.Listeners() {
		rows = append(rows, []string{l.Name, l.URL + l.Note})
	}
	rows = append(rows, [][]string{
		{"accepts", cfg.Broker.AuthSummary()},
		{"console", cfg.Console.URL(cfg.Console.Listen)},
		{"storage", config.FormatSize(cfg.JetStream.MaxStorage)},
	}...)
	for _, s := range cfg.DeclaredStreams().StreamConfigs() {
		rows = append(rows, []string{"stream", s.Name + ": " + strings.Join(s.Subjects, ", ")})
	}
	for _, a := range cfg.EnabledAdapters() {
		rows = append(rows, []string{"adapter", fmt.Sprintf("%s: %s from %s to %s",
			a.Name, a.Ingest.Protocol, strings.Join(a.Ingest.Topics, ", "), a.Stream.Topic)})
	}
	for _, f := range cfg.EnabledForwards() {
		rows = append(rows, []string{"forward", f.Name + ": " + f.Way()})
	}
	if err := p.printTable([]string{"OK", source}, rows); err != nil {
		return err
	}
	for _, warning := range warnings(cfg) {
		fmt.Fprintln(p.out, "warning:", warning)
	}
	return nil
}

// warnings returns the warnings about the configuration, and about the certificate and the revocation
// lists that it names.
func warnings(cfg *appliance.Config) []string {
	revocations, _ := cfg.Broker.CheckRevocations(cfg.CRLRecordFile(), time.Now()) // loadChecked has returned the error
	all := append(cfg.Warnings(), revocations...)
	if days, ok := certificateDays(cfg); ok && days < tlsfile.WarnBefore.Hours()/24 {
		all = append(all, fmt.Sprintf("the certificate %s expires in %.0f days", cfg.Broker.TLS.Cert, days))
	}
	return all
}

// certificateDays returns the days until the broker's certificate expires, and false if it has none.
func certificateDays(cfg *appliance.Config) (days float64, ok bool) {
	expires, err := cfg.Broker.TLS.Expires(time.Now())
	if err != nil || expires.IsZero() {
		return 0, false
	}
	return time.Until(expires).Hours() / 24, true
}

// tlsNote returns in parentheses whether nodes connect with TLS, to follow the address.
func tlsNote(cfg *appliance.Config) string {
	if days, ok := certificateDays(cfg); ok {
		return fmt.Sprintf(" (TLS, certificate valid for %.0f days)", days)
	}
	if cfg.Broker.Loopback() {
		return " (this machine only, no TLS)"
	}
	return " (no TLS)"
}

// writeResult writes the result of a monitoring check. If it is not OK, the error sets the exit
// status.
func (p *program) writeResult(result *monitoring.Result, format, name string) error {
	if err := result.Write(p.out, format, name); err != nil {
		return err
	}
	if status := result.Status(); status != monitoring.OK {
		return silentError{int(status)}
	}
	return nil
}
