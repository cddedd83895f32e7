package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/bench"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// benchmark is the bench command and the generator under it.
type benchmark struct {
	*program
	load    bench.Load
	signed  bool
	site    *enroll.Site // made for the run; nil: none
	ceiling bool
	verify  string
	watch   bool
	size    string
	buffer  string
	pings   time.Duration // broker.ping_interval; 0: as it is by itself
	console string
	config  string
	pid     int
	asJSON  bool
}

func (p *program) benchCommand() *cobra.Command {
	b := &benchmark{program: p}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Put load on an appliance and find out what became of every message",
		Long: `Put load on an appliance and find out what became of every message. Without --server
an appliance is started for it, as a process of its own with a temporary directory.
The load is made by another process, which publishes and never waits or reads. Then
the stream is read and compared with what was published, message by message.

A running appliance is best given a stream that keeps all messages: what
max_msgs_per_subject deletes is counted as missing.`,
		Example: `  muster bench
  muster bench --tls --verify require --protocol 2 --messages 20000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context()) },
	}
	b.loadFlags(cmd)
	cmd.Flags().BoolVar(&b.signed, "signed", false, "sign every message with a certificate or token of its sender; --tls implies it")
	cmd.Flags().BoolVar(&b.watch, "fleet", true, "let the appliance that is started watch the nodes too")
	cmd.Flags().StringVar(&b.verify, "verify", "auto", "what the appliance that is started does about signatures: auto, require, record or off")
	cmd.Flags().BoolVar(&b.ceiling, "ceiling", false, "put the same load into a stream without an adapter too, and compare")
	cmd.Flags().StringVar(&b.buffer, "buffer", "1GiB", "buffer of the appliance that is started")
	cmd.Flags().StringVar(&b.console, "console", "http://127.0.0.1:8222", "console of the appliance that --server names")
	cmd.Flags().StringVar(&b.configFile, "config", "", "configuration of the appliance that --server names, where it does not let everybody in")
	cmd.Flags().IntVar(&b.pid, "pid", 0, "process of the appliance that --server names, for its processor time and memory")
	cmd.Flags().BoolVar(&b.asJSON, "json", false, "print JSON")
	cmd.AddCommand(b.generateCommand(), p.idleCommand())
	return cmd
}

// generateCommand is what the generator's process runs.
func (b *benchmark) generateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Publish the load and print what was published: key, bytes and time of each message",
		Example: `  muster bench generate --server 127.0.0.1:4222 --messages 1000
  muster bench generate --server 127.0.0.1:4222 --rate 100`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := b.check(); err != nil {
				return err
			}
			return bench.Generate(b.load, b.out)
		},
	}
	b.loadFlags(cmd)
	cmd.Flags().BoolVar(&b.load.Direct, "direct", false, "straight into the stream, each message acknowledged")
	return cmd
}

func (b *benchmark) loadFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&b.load.Server, "server", "", "NATS address of a running appliance; none: one is started")
	flags.IntVar(&b.load.Connections, "connections", 20, "connections that carry the load")
	flags.IntVar(&b.load.Senders, "senders", 2000, "nodes that the messages come from")
	flags.IntVar(&b.load.Messages, "messages", 60_000, "messages, all together")
	flags.IntVar(&b.load.Protocol, "protocol", 0, "Choria's network protocol: 1, 2, or 0 for both mixed")
	flags.StringVar(&b.load.Site, "site", "", "directory that \"muster init\" has written, for certificates and tokens that the appliance trusts")
	flags.BoolVar(&b.load.TLS, "tls", false, "connect over TLS, with certificates in protocol 1 and tokens in 2")
	flags.StringVar(&b.size, "size", "", "bytes of a message, such as 10KiB; none: realistic facts, 7 KiB in protocol 1 and 13 KiB in 2")
	flags.IntVar(&b.load.Rate, "rate", 0, "messages a second, all together; 0: one burst, as fast as they go")
}

func (b *benchmark) check() error {
	if b.size != "" {
		var err error
		if b.load.Size, err = config.ParseSize(b.size); err != nil {
			return usageError{fmt.Errorf("--size %q %w; write it with one, such as 10KiB", b.size, err)}
		}
	}
	l := b.load
	switch {
	case l.Connections < 1 || l.Senders < l.Connections || l.Messages < l.Senders:
		return usageError{fmt.Errorf("--connections %d, --senders %d, --messages %d: want at least 1, and each no less than the one before",
			l.Connections, l.Senders, l.Messages)}
	case l.Protocol < 0 || l.Protocol > 2:
		return usageError{fmt.Errorf("--protocol %d: want 1, 2, or 0 for both", l.Protocol)}
	case l.TLS && l.Site == "" && l.Server != "":
		return usageError{errors.New("--tls with --server wants --site: the directory whose certificates and tokens the appliance trusts")}
	case b.ceiling && l.Server != "":
		return usageError{errors.New("--ceiling starts servers of its own; leave --server away")}
	case l.Rate < 0:
		return usageError{fmt.Errorf("--rate %d: want 0 or more", l.Rate)}
	}
	return nil
}

func (b *benchmark) run(ctx context.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	done, err := b.openSite()
	if err != nil {
		return err
	}
	defer done()
	result, err := b.measure(ctx)
	if err == nil && b.ceiling {
		err = b.measureCeiling(ctx, &result)
	}
	if err != nil {
		return err
	}
	if b.asJSON {
		return b.printJSON(result)
	}
	return b.printResult(result)
}

// openSite makes certificates and tokens for the run, where messages are to be signed.
func (b *benchmark) openSite() (done func(), err error) {
	if b.load.Server != "" || !b.signed && !b.load.TLS {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "muster-bench-site-")
	if err != nil {
		return nil, err
	}
	done = func() { _ = os.RemoveAll(dir) }
	if b.site, err = enroll.Init(enroll.Options{Dir: dir, Name: "127.0.0.1", Issuer: true}, time.Now()); err != nil {
		done()
		return nil, err
	}
	b.load.Site = dir
	return done, nil
}

// measure puts the load on the appliance that is named, or on one that is started for it.
func (b *benchmark) measure(ctx context.Context) (bench.Result, error) {
	target := bench.Target{Server: b.load.Server, Console: b.console, Stream: contract.StreamRegistration, PID: b.pid}
	config := b.configFile
	if b.load.Server == "" {
		server, err := b.startServer(ctx)
		if err != nil {
			return bench.Result{}, err
		}
		defer server.stop()
		target, config = server.target, server.config
	}
	if config != "" {
		cfg, err := appliance.Load(config)
		if err != nil {
			return bench.Result{}, err
		}
		if target.Admin, err = adminOptions(cfg); err != nil {
			return bench.Result{}, err
		}
	}
	progress, done := b.progress()
	defer done()
	return bench.Run(ctx, target, func(ctx context.Context) (io.ReadCloser, error) { return b.generate(ctx, target.Server) }, progress)
}

// measureCeiling puts the same load into a stream without an adapter, and compares.
func (b *benchmark) measureCeiling(ctx context.Context, r *bench.Result) error {
	bare := *b
	bare.load.Direct = true
	result, err := bare.measure(ctx)
	if err != nil {
		return err
	}
	r.Under(result)
	return nil
}

// generate runs the generator's process and gives back what it wrote.
func (b *benchmark) generate(ctx context.Context, server string) (io.ReadCloser, error) {
	return b.runSelf(ctx, "bench", "generate", "--server", server, "--direct="+strconv.FormatBool(b.load.Direct),
		"--connections", strconv.Itoa(b.load.Connections), "--senders", strconv.Itoa(b.load.Senders),
		"--messages", strconv.Itoa(b.load.Messages), "--protocol", strconv.Itoa(b.load.Protocol),
		"--site", b.load.Site, "--tls="+strconv.FormatBool(b.load.TLS), "--size", b.size, "--rate", strconv.Itoa(b.load.Rate))
}

// progress draws a bar on a terminal, on standard error so that the result stays alone.
func (b *benchmark) progress() (draw func(bench.Ledger), done func()) {
	if !isTerminal(b.err) {
		return func(bench.Ledger) {}, func() {}
	}
	bar := progressbar.NewOptions(b.load.Messages, progressbar.OptionSetWriter(b.err), progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(40), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(l bench.Ledger) {
		bar.Describe(fmt.Sprintf("stored, of %s received", count(l.Received)))
		_ = bar.Set64(int64(min(l.Stored, uint64(b.load.Messages))))
	}, func() { _ = bar.Finish() }
}

func (b *benchmark) printResult(r bench.Result) error {
	rows := [][]string{
		{"messages", fmt.Sprintf("%s, %s together", count(uint64(r.Messages)), humanize.IBytes(uint64(r.Bytes)))},
		{"sent", fmt.Sprintf("%.0f a second", r.SentRate)},
		{"stored", fmt.Sprintf("%s, %.0f a second", count(uint64(r.Stored)), r.StoredRate)},
		{"missing", count(uint64(r.Missing))},
		{"duplicated", count(uint64(r.Duplicated))},
		{"out of order", count(uint64(r.OutOfOrder))},
		{"latency", fmt.Sprintf("%.1f ms half, %.1f ms 99 %%, %.1f ms 99.9 %% of them", r.LatencyP50, r.LatencyP99, r.LatencyP999)},
	}
	if u := r.Server; u != nil {
		rows = append(rows,
			[]string{"processor", fmt.Sprintf("%.0f µs a stored message", u.CPUPerMessage)},
			[]string{"peak memory", humanize.IBytes(uint64(u.PeakMemory))})
	}
	if c := r.Ceiling; c != nil {
		rows = append(rows, []string{"ceiling", fmt.Sprintf("%.0f a second, %.0f µs each; the appliance stores %.2f of that, at %.1f times the processor time",
			c.StoredRate, c.CPUPerMessage, c.OfRate, c.TimesCPU)})
	}
	if l := r.Ledger; l != nil {
		rows = append(rows, []string{"ledger", fmt.Sprintf("%s received = %s stored + %s duplicate + %s rejected + %s dropped + %s pending",
			count(l.Received), count(l.Stored), count(l.Duplicate), count(l.Rejected), count(l.Dropped), count(l.Pending))})
	}
	return b.printTable([]string{"BENCH", ""}, rows)
}
