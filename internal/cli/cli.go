// Package cli implements the muster command line: it parses arguments, prints, and sets the exit
// status. What the commands do is implemented in other packages.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/spf13/cobra"
)

// Exit statuses. systemd does not restart a service that exits with statusConfig.
const (
	statusOK     = 0
	statusFailed = 1
	statusUsage  = 2
	statusLosses = 3  // of "import": something stops working
	statusConfig = 78 // EX_CONFIG of sysexits.h
)

// usageError reports an invalid command line. The program exits with statusUsage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError sets the exit status of a command that has already printed the reason.
type silentError struct{ status int }

func (e silentError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// program is one run of the command line.
type program struct {
	out, err   io.Writer // standard output and standard error
	configFile string    // value of --config; empty: the command's default
}

// Main runs the command line and returns the exit status. The first SIGINT or SIGTERM asks the
// command to end; a second one ends the process at once.
func Main(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // restores the default action of both signals
	return Run(ctx, args, out, errOut)
}

// Run runs the command line without handling signals, and returns the exit status. Canceling the
// context asks the command to end.
func Run(ctx context.Context, args []string, out, errOut io.Writer) int {
	p := &program{out: out, err: errOut}
	root := p.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	status := p.reportError(err)
	if isPlugin(cmd) && (status == statusUsage || status == statusConfig) && !errors.As(err, new(silentError)) {
		return int(monitoring.Unknown) // a monitoring system would read 2 as CRITICAL
	}
	return status
}

// isPlugin reports whether cmd is a monitoring plugin: "check health" or "check host".
func isPlugin(cmd *cobra.Command) bool {
	return cmd.Parent() != nil && cmd.Parent().Name() == "check"
}

// usageTemplate ends each help text. The examples come last, where a terminal still shows them.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}
`

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "muster",
		Short: "Collect the registrations of a Choria fleet",
		Long: `Muster collects the registrations of a Choria fleet. One binary is a NATS server with
JetStream, the Choria data adapter in the same process, and a live view of every node.`,
		Example: `  muster demo
  muster run --config /etc/muster/appliance.toml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		p.runCommand(), p.checkCommand(), p.statusCommand(), p.streamsCommand(), p.fleetCommand(), p.nodesCommand(),
		p.nodeCommand(), p.sitesCommand(), p.eventsCommand(), p.rejectedCommand(), p.discoverCommand(), p.initCommand(),
		p.enrollCommand(), p.revokeCommand(), p.rotateCommand(),
		p.importCommand(), p.demoCommand(), p.benchCommand(), p.manualCommand(), p.versionCommand(),
	)
	root.SetUsageTemplate(usageTemplate)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.InitDefaultCompletionCmd() // after SetOut: the completion command keeps the writer
	wrapArgErrors(root)
	return root
}

// wrapArgErrors makes every argument error of cmd and of its subcommands a usageError.
func wrapArgErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wrapArgErrors(sub)
	}
}

// reportError prints err to standard error and returns the exit status for it.
func (p *program) reportError(err error) int {
	var problems config.Problems
	var usage usageError
	var silent silentError
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &problems):
		fmt.Fprintln(p.err, problems)
		return statusConfig
	case errors.As(err, &usage):
		fmt.Fprintf(p.err, "muster: %s\nTry: muster --help\n", usage)
		return statusUsage
	case errors.As(err, &silent):
		return silent.status
	default:
		fmt.Fprintf(p.err, "muster: %s\n", err)
		return statusFailed
	}
}
