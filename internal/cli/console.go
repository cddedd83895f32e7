package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/spf13/cobra"
)

// installedConfig is where packages put the configuration.
const installedConfig = "/etc/muster/appliance.toml"

// consoleCommand is a command that asks the console of a running appliance.
type consoleCommand struct {
	*program
	server string // --server; empty: the console of the configuration
	token  string // --token, or file:PATH
	ca     string // --ca, path of a PEM file
	asJSON bool   // --json
	asCSV  bool   // --csv

	client *apiclient.Client // nil until connect
}

// runFunc runs a command with its arguments.
type runFunc func(ctx context.Context, args []string) error

// newCommand returns a command with --config and --json.
func (c *consoleCommand) newCommand(
	use, short, example string, args cobra.PositionalArgs, run runFunc,
) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return explain(run(cmd.Context(), args)) },
	}
	c.configFlag(cmd, configHelpConsole)
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "print JSON")
	return cmd
}

// newQuery returns a command that also has the flags which name a console.
func (c *consoleCommand) newQuery(
	use, short, example string, args cobra.PositionalArgs, run runFunc,
) *cobra.Command {
	cmd := c.newCommand(use, short, example, args, run)
	c.consoleFlags(cmd)
	return cmd
}

// newList returns a query without arguments that can also print CSV.
func (c *consoleCommand) newList(use, short, example string, run runFunc) *cobra.Command {
	cmd := c.newQuery(use, short, example, cobra.NoArgs, run)
	cmd.Flags().BoolVar(&c.asCSV, "csv", false, "print CSV")
	mutuallyExclusive(cmd, "json", "csv")
	return cmd
}

// consoleFlags adds the flags that name a console.
func (c *consoleCommand) consoleFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.server, "server", "",
		"address of the console, such as http://127.0.0.1:8222; default: console.listen of the configuration")
	cmd.Flags().StringVar(&c.token, "token", "", "token of the console given with --server, or file:PATH")
	cmd.Flags().StringVar(&c.ca, "ca", "",
		"PEM file of the CA that signed the certificate of the console given with --server; "+
			"default: the CAs of the system")
}

// configPath returns --config, or the configuration of an installed appliance; empty for a lab.
func (p *program) configPath() string {
	if p.configFile != "" {
		return p.configFile
	}
	if file, err := os.Open(installedConfig); err == nil { // it may exist and not be readable
		_ = file.Close()
		return installedConfig
	}
	return ""
}

// connect returns a client of the console that --server or the configuration names. It sends
// nothing yet.
func (c *consoleCommand) connect() (*apiclient.Client, error) {
	if c.client != nil {
		return c.client, nil
	}
	var options apiclient.Options
	var err error
	switch {
	case c.server != "":
		options, err = c.fromFlags()
	case c.token != "" || c.ca != "":
		err = usageError{errors.New("--token and --ca belong to --server; " +
			"without it, the token and certificate of the configuration are used")}
	default:
		options, err = c.fromConfig()
	}
	if err != nil {
		return nil, err
	}
	c.client = apiclient.New(options)
	return c.client, nil
}

// fromFlags returns the console that --server, --token and --ca name.
func (c *consoleCommand) fromFlags() (o apiclient.Options, err error) {
	o.URL = strings.TrimSuffix(c.server, "/")
	if !strings.Contains(o.URL, "://") {
		o.URL = "http://" + o.URL
	}
	if !strings.HasPrefix(o.URL, "http://") && !strings.HasPrefix(o.URL, "https://") {
		return o, usageError{fmt.Errorf("--server %s: want http:// or https://", c.server)}
	}
	o.Token = c.token
	if path, isFile := strings.CutPrefix(c.token, "file:"); isFile {
		text, err := os.ReadFile(path)
		if err != nil {
			return o, usageError{fmt.Errorf("--token: %w", err)}
		}
		o.Token = strings.TrimSpace(string(text))
	}
	if c.ca != "" {
		text, err := os.ReadFile(c.ca)
		if err != nil {
			return o, usageError{fmt.Errorf("--ca: %w", err)}
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return o, usageError{fmt.Errorf("--ca: %s has no certificate in PEM", c.ca)}
		}
		o.TLS = &tls.Config{RootCAs: roots}
	}
	return o, nil
}

// fromConfig returns the console of the configuration: with its token, and trust in its
// certificate alone.
func (c *consoleCommand) fromConfig() (o apiclient.Options, err error) {
	cfg, err := appliance.LoadConsole(c.configPath())
	if err != nil {
		return o, err
	}
	o.URL, o.Token = cfg.URL(config.DialAddress(cfg.Listen)), cfg.Token
	if cfg.TLS.Enabled() {
		o.TLS, err = trustOnly(cfg.TLS.Cert)
	}
	return o, err
}

// trustOnly returns a TLS configuration that trusts the first certificate of a file and no other,
// whatever address it is reached by.
func trustOnly(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("console.tls.cert: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("console.tls.cert: %s has no certificate in PEM", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("console.tls.cert: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	name := leaf.Subject.CommonName
	switch {
	case len(leaf.DNSNames) > 0:
		name = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		name = leaf.IPAddresses[0].String()
	}
	return &tls.Config{RootCAs: roots, ServerName: cmp.Or(name, "localhost")}, nil
}
