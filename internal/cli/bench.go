package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/bench"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// benchCommand is the command "bench", and "bench generate" below it.
type benchCommand struct {
	*program
	bench.Benchmark
	size   string // of a message, with its unit; empty: realistic facts
	asJSON bool
}

func (p *program) benchCommand() *cobra.Command {
	b := &benchCommand{program: p, Benchmark: bench.Benchmark{Subprocess: bench.Subprocess{Stderr: p.err}}}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how an appliance stores a load, message by message",
		Long: `Measure how an appliance stores a load of registrations. Without --server an appliance
is started for it, in a process of its own with a temporary directory. Another process
publishes the load and never waits or reads. Then the stream is read and compared with
what was published, message by message.

A running appliance needs a stream that keeps every message: a message that
max_msgs_per_subject deletes counts as missing. Where nodes prove their identity, it also
needs bind_sender = false if there are more senders than connections.`,
		Example: `  muster bench
  muster bench --tls --verify require --protocol 2 --messages 20000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context()) },
	}
	b.loadFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&b.Signed, "signed", false,
		"sign every message with a certificate or token of its sender; --tls implies it")
	flags.BoolVar(&b.Appliance.Fleet, "fleet", true, "enable the fleet view of the started appliance")
	flags.StringVar(&b.Appliance.Verify, "verify", "auto",
		"verify setting of the started appliance: auto, require, record or off")
	flags.BoolVar(&b.Appliance.WebSocket, "websocket", false,
		"connect the nodes to the started appliance over WebSocket")
	flags.BoolVar(&b.Ceiling, "ceiling", false,
		"also publish without an adapter, as the upper limit")
	flags.StringVar(&b.Appliance.Buffer, "buffer", "1GiB", "buffer of the started appliance")
	flags.StringVar(&b.Console, "console", "http://127.0.0.1:8222", "console of the appliance that --server names")
	flags.StringVar(&b.Config, "config", "",
		"configuration of the appliance that --server names; needed when its broker does not accept every connection")
	flags.IntVar(&b.PID, "pid", 0,
		"process of the appliance that --server names, to measure its processor time and memory")
	flags.BoolVar(&b.asJSON, "json", false, "print JSON")
	cmd.AddCommand(b.generateCommand(), p.idleCommand())
	return cmd
}

// generateCommand returns the command of the process that publishes the load. The package
// bench starts it; see Load.
func (b *benchCommand) generateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Publish the load and print key, bytes and time of each published message",
		Example: `  muster bench generate --server 127.0.0.1:4222 --messages 1000
  muster bench generate --server 127.0.0.1:4222 --rate 100`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := b.check(); err != nil {
				return err
			}
			return bench.Generate(b.Load, b.out)
		},
	}
	b.loadFlags(cmd)
	cmd.Flags().BoolVar(&b.Load.Direct, "direct", false, "publish into the stream, each message acknowledged")
	return cmd
}

func (b *benchCommand) loadFlags(cmd *cobra.Command) {
	flags, load := cmd.Flags(), &b.Load
	flags.StringVar(&load.Server, "server", "", "NATS address of a running appliance; default: start one")
	flags.IntVar(&load.Connections, "connections", 20, "connections that carry the load")
	flags.IntVar(&load.Senders, "senders", 2000, "nodes that the messages come from")
	flags.IntVar(&load.Messages, "messages", 60_000, "messages in total")
	flags.IntVar(&load.Protocol, "protocol", 0, "Choria's network protocol: 1, 2, or 0 for both")
	flags.StringVar(&load.Site, "site", "",
		"directory written by \"muster init\", with certificates and tokens that the appliance trusts")
	flags.BoolVar(&load.TLS, "tls", false, "connect over TLS, with certificates in protocol 1 and tokens in protocol 2")
	flags.StringVar(&b.size, "size", "",
		"size of a message, such as 10KiB; default: realistic facts, 7 KiB in protocol 1 and 13 KiB in protocol 2")
	flags.IntVar(&load.Rate, "rate", 0, "messages a second in total; 0: as fast as possible")
}

// check parses --size and returns a usageError for flags that do not fit together.
func (b *benchCommand) check() error {
	l := &b.Load
	if b.size != "" {
		var err error
		if l.Size, err = config.ParseSize(b.size); err != nil {
			return usageError{fmt.Errorf("--size %q %w; write a number with a unit, such as 10KiB", b.size, err)}
		}
	}
	switch {
	case l.Connections < 1 || l.Senders < l.Connections || l.Messages < l.Senders:
		return usageError{fmt.Errorf("--connections %d, --senders %d, --messages %d: "+
			"need at least 1 connection, a sender for each connection and a message of each sender",
			l.Connections, l.Senders, l.Messages)}
	case l.Protocol < 0 || l.Protocol > 2:
		return usageError{fmt.Errorf("--protocol %d: must be 1, 2, or 0 for both", l.Protocol)}
	case l.TLS && l.Site == "" && l.Server != "":
		return usageError{errors.New(
			"--tls with --server needs --site, the directory of the appliance's certificates and tokens")}
	case b.Ceiling && l.Server != "":
		return usageError{errors.New("--ceiling starts appliances of its own; omit --server")}
	case b.Appliance.WebSocket && l.Server != "":
		return usageError{errors.New(
			"--websocket starts an appliance of its own; omit --server, or give it a URL like wss://HOST:443 alone")}
	case l.Rate < 0:
		return usageError{fmt.Errorf("--rate %d: must be 0 or more", l.Rate)}
	}
	return nil
}

func (b *benchCommand) run(ctx context.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	progress, done := b.progress()
	result, err := b.Benchmark.Run(ctx, progress)
	done()
	var connection *apiclient.ConnectionError
	if errors.As(err, &connection) {
		return fmt.Errorf("%w; start one with \"muster run\", name its console with --console, or omit --server", err)
	}
	if err != nil {
		return err
	}
	if b.asJSON {
		return b.printJSON(result)
	}
	return b.printResult(result)
}

// progress draws a bar on a terminal. It is standard error, because the result goes to
// standard output.
func (b *benchCommand) progress() (draw func(bench.Ledger), done func()) {
	if !isTerminal(b.err) {
		return func(bench.Ledger) {}, func() {}
	}
	bar := progressbar.NewOptions(b.Load.Messages, progressbar.OptionSetWriter(b.err),
		progressbar.OptionShowCount(), progressbar.OptionSetWidth(40),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(l bench.Ledger) {
		bar.Describe(fmt.Sprintf("stored (%s received)", count(l.Received)))
		_ = bar.Set64(int64(min(l.Stored, uint64(b.Load.Messages))))
	}, func() { _ = bar.Finish() }
}

func (b *benchCommand) printResult(r bench.Result) error {
	rows := [][]string{
		{"messages", fmt.Sprintf("%s, %s in total", count(uint64(r.Messages)), humanize.IBytes(uint64(r.Bytes)))},
		{"published", fmt.Sprintf("%.0f a second", r.SentRate)},
		{"stored", fmt.Sprintf("%s, %.0f a second", count(uint64(r.Stored)), r.StoredRate)},
		{"missing", count(uint64(r.Missing))},
		{"duplicated", count(uint64(r.Duplicated))},
		{"out of order", count(uint64(r.OutOfOrder))},
		{"latency", fmt.Sprintf("%.1f ms for 50 %%, %.1f ms for 99 %%, %.1f ms for 99.9 %% of the messages",
			r.LatencyP50, r.LatencyP99, r.LatencyP999)},
	}
	if u := r.Server; u != nil {
		rows = append(rows,
			[]string{"processor", fmt.Sprintf("%.0f µs per stored message", u.CPUPerMessage)},
			[]string{"peak memory", humanize.IBytes(uint64(u.PeakMemory))})
	}
	if c := r.Ceiling; c != nil {
		rows = append(rows, []string{"ceiling", fmt.Sprintf(
			"without adapter: %.0f/s, %.0f µs of processor time per message; "+
				"with adapter: %.2f of that rate, %.1f times the processor time",
			c.StoredRate, c.CPUPerMessage, c.RateRatio, c.CPURatio)})
	}
	if l := r.Ledger; l != nil {
		rows = append(rows, []string{"ledger", fmt.Sprintf(
			"%s received = %s stored + %s duplicate + %s rejected + %s dropped + %s pending", count(l.Received),
			count(l.Stored), count(l.Duplicate), count(l.Rejected), count(l.Dropped), count(l.Pending))})
	}
	return b.printTable([]string{"BENCH", ""}, rows)
}
