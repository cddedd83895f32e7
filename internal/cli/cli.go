// Package cli is the commands of muster. It alone prints, and it alone decides the exit
// status; what the commands do is done elsewhere.
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

// Exit statuses. systemd does not restart a service that ends with statusConfig.
const (
	statusOK     = 0
	statusFailed = 1
	statusUsage  = 2
	statusConfig = 78 // EX_CONFIG of sysexits.h
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// program is one run of muster.
type program struct {
	out, err io.Writer
	config   string // --config
}

// Main runs the command line and returns the exit status. A first SIGINT or SIGTERM asks
// the command to end; a second one ends the process at once.
func Main(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from now on a signal does what it does by itself
	return Run(ctx, args, out, errOut)
}

// Run is Main without signals: the context asks the command to end.
func Run(ctx context.Context, args []string, out, errOut io.Writer) int {
	p := &program{out: out, err: errOut}
	root := p.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	status := p.status(err)
	if isCheck := cmd.Parent() != nil && cmd.Parent().Name() == "check"; isCheck && (status == statusUsage || status == statusConfig) && !errors.As(err, new(statusOnly)) {
		return int(monitoring.Unknown) // to monitoring the others would be an answer
	}
	return status
}

// usage is the end of each help text: the examples come last, where they are seen.
const usage = `Usage:{{if .Runnable}}
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
		Short: "Collects the registrations of a Choria fleet",
		Long: `Muster is one binary that a Choria fleet registers to: a NATS server with
JetStream, the Choria data adapter in the same process, and a view of every node.`,
		Example: `  muster demo
  muster run --config /etc/muster/appliance.toml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(p.runCommand(), p.checkCommand(), p.statusCommand(), p.streamsCommand(), p.fleetCommand(), p.nodesCommand(), p.nodeCommand(),
		p.eventsCommand(), p.rejectedCommand(), p.discoverCommand(), p.initCommand(), p.enrollCommand(), p.importCommand(), p.demoCommand(), p.benchCommand(), p.manualCommand(), p.versionCommand())
	root.SetUsageTemplate(usage)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.InitDefaultCompletionCmd() // which remembers where the output goes
	wantArgs(root)
	return root
}

// wantArgs makes of every command's complaint about its arguments a usage error.
func wantArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wantArgs(sub)
	}
}

// status prints what went wrong and gives the exit status for it.
func (p *program) status(err error) int {
	var problems config.Problems
	var usage usageError
	var said statusOnly
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &problems):
		fmt.Fprintln(p.err, problems)
		return statusConfig
	case errors.As(err, &usage):
		fmt.Fprintf(p.err, "muster: %s\nTry: muster --help\n", usage)
		return statusUsage
	case errors.As(err, &said):
		return said.status
	default:
		fmt.Fprintf(p.err, "muster: %s\n", err)
		return statusFailed
	}
}

// statusOnly ends a command that has said itself what went wrong.
type statusOnly struct{ status int }

func (s statusOnly) Error() string { return fmt.Sprintf("exit status %d", s.status) }
