package cli

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/spf13/cobra"
)

func (p *program) initCommand() *cobra.Command {
	var o enroll.Options
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a CA, the broker's certificate and a configuration that uses them",
		Long: `Make what a broker needs to know its nodes: a certificate authority, the broker's
certificate under it, and an appliance.toml that uses them. With --issuer nodes prove
who they are with tokens of a Choria organization, not with certificates; its key is
made too. Who has the files ca.key and issuer.seed can let anybody in.`,
		Example: `  muster init --dir /etc/muster --name collector1.example.net
  muster init --dir ./site --name 127.0.0.1 --issuer`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.init(o) },
	}
	cmd.Flags().StringVar(&o.Dir, "dir", "", "directory to write to")
	cmd.Flags().StringVar(&o.Name, "name", "", "name or address by which nodes reach the broker")
	cmd.Flags().StringVar(&o.Listen, "listen", "0.0.0.0:4222", "address and port where the broker will listen")
	cmd.Flags().BoolVar(&o.Issuer, "issuer", false, "nodes have tokens of an organization issuer, not certificates")
	cmd.Flags().BoolVar(&o.Force, "force", false, "overwrite what is there: everybody has to be enrolled again")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

func (p *program) init(o enroll.Options) error {
	switch {
	case o.Dir == "":
		return usageError{errors.New("--dir is needed: the directory to write to")}
	case o.Name == "":
		return usageError{errors.New("--name is needed: the name or address by which nodes reach the broker")}
	}
	_, port, err := net.SplitHostPort(o.Listen)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 1 || n > 65535 {
		return usageError{fmt.Errorf("--listen %q: want an address and a port from 1 to 65535, such as 0.0.0.0:4222", o.Listen)}
	}
	installed := filepath.Clean(o.Dir) == filepath.Dir(installedConfig)
	if installed {
		o.Data = appliance.InstalledDir
	}
	o.ReplaceConfig = saysNothing(filepath.Join(o.Dir, filepath.Base(installedConfig)))
	s, err := enroll.Init(o, time.Now())
	if err != nil {
		return err
	}
	if installed {
		fmt.Fprintf(p.out, `%s has what the broker %s needs. Next, here and then for each node:

  systemctl enable --now muster
  %[3]s enroll NODE --dir %[4]s
`, s.Dir, o.Name, commandName(), o.Dir)
		return nil
	}
	fmt.Fprintf(p.out, `%s has what the broker %s needs. Next, for each node and then here:

  %[3]s enroll NODE --dir %[4]s
  %[3]s run --config %[5]s
`, s.Dir, o.Name, commandName(), o.Dir, filepath.Join(o.Dir, filepath.Base(s.Config())))
	return nil
}

// saysNothing tells whether a configuration leaves everything as it is by itself, as that of a
// package does.
func saysNothing(file string) bool {
	cfg, err := appliance.Load(file)
	if err != nil {
		return false
	}
	plain, err := appliance.Parse(file, nil)
	return err == nil && len(config.Changed(plain, cfg)) == 0
}

func (p *program) enrollCommand() *cobra.Command {
	var n enroll.Node
	var dir string
	cmd := &cobra.Command{
		Use:   "enroll NODE",
		Short: "Issue a node's certificate or token, with a configuration for its Choria server",
		Long: `Issue a node's certificate, or its token where "muster init --issuer" was used, and
write it with a server.conf for its Choria server to a directory of its own. Copied
to the node, that is all it takes to register.`,
		Example: `  muster enroll web1.example.net --dir /etc/muster
  muster enroll web1.example.net --dir ./site --install-dir /etc/choria`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			n.Identity = args[0]
			return p.enroll(dir, n)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory that \"muster init\" has written")
	cmd.Flags().StringVar(&n.InstallDir, "install-dir", "/etc/choria", "directory of these files on the node")
	cmd.Flags().StringVar(&n.Collective, "collective", "", "collective of the node; default: mcollective, or choria with tokens")
	cmd.Flags().BoolVar(&n.Force, "force", false, "overwrite what is there")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

func (p *program) enroll(dir string, n enroll.Node) error {
	if dir == "" {
		return usageError{errors.New("--dir is needed: the directory that \"muster init\" has written")}
	}
	s, err := enroll.Open(dir)
	if err != nil {
		return err
	}
	cfg, err := appliance.Load(s.Config())
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(cfg.Broker.Listen)
	if err != nil {
		return err
	}
	if collectives := cfg.Broker.Collectives; !s.IssuesTokens() && n.Collective != "" && !slices.Contains(collectives, n.Collective) {
		return fmt.Errorf("--collective %s is not one of broker.collectives %v in %s; add it there first", n.Collective, collectives, s.Config())
	}
	n.Broker = net.JoinHostPort(cfg.Identity, port)
	files, err := s.Enroll(n, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, `%s is enrolled. Copy the files in %s to %s of the node, and run there:

  choria server run --config %s
`, n.Identity, files, n.InstallDir, filepath.Join(n.InstallDir, "server.conf"))
	return nil
}
