package cli

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
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
		Short: "Create a CA, the broker's certificate and a configuration that uses them",
		Long: `Create the files with which a broker authenticates its nodes: a certificate authority, the
broker's certificate, and an appliance.toml that uses them. With --issuer, nodes
authenticate with tokens of a Choria organization issuer instead of certificates, and the
issuer's key is created too. Keep ca.key and issuer.seed secret: with them, anyone can
create credentials that the broker accepts.`,
		Example: `  muster init --dir /etc/muster --name collector1.example.net
  muster init --dir ./site --name 127.0.0.1 --issuer`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.init(o) },
	}
	cmd.Flags().StringVar(&o.Dir, "dir", "", "directory for the files; required")
	cmd.Flags().StringVar(&o.Name, "name", "", "host name or IP address under which nodes reach the broker; required")
	cmd.Flags().StringVar(&o.Listen, "listen", "0.0.0.0:4222", "address and port on which the broker listens")
	cmd.Flags().BoolVar(&o.Issuer, "issuer", false,
		"give nodes tokens of an organization issuer instead of certificates")
	cmd.Flags().BoolVar(&o.Force, "force", false, "overwrite existing files; every node must then be enrolled again")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// init creates the files of a site and prints the next commands.
func (p *program) init(o enroll.Options) error {
	switch {
	case o.Dir == "":
		return usageError{errors.New("--dir is required: the directory for the files")}
	case o.Name == "":
		return usageError{errors.New("--name is required: the host name or IP address under which nodes reach the broker")}
	}
	_, port, err := net.SplitHostPort(o.Listen)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 1 || n > 65535 {
		return usageError{fmt.Errorf("--listen %q is not an address with a port from 1 to 65535, such as 0.0.0.0:4222",
			o.Listen)}
	}
	installed := filepath.Clean(o.Dir) == filepath.Dir(installedConfig)
	if installed {
		o.Data = appliance.InstalledDir
	}
	o.ReplaceConfig = hasOnlyDefaults(filepath.Join(o.Dir, filepath.Base(installedConfig)))
	s, err := enroll.Init(o, time.Now())
	if err != nil {
		return err
	}
	if installed {
		fmt.Fprintf(p.out, `The files for the broker %[2]s are in %[1]s. Next, run the first command here, and
the second for each node:

  systemctl enable --now muster
  %[3]s enroll NODE --dir %[4]s
`, s.Dir, o.Name, commandName(), o.Dir)
		return nil
	}
	fmt.Fprintf(p.out, `The files for the broker %[2]s are in %[1]s. Next, run the first command for each node,
and then the second one here:

  %[3]s enroll NODE --dir %[4]s
  %[3]s run --config %[5]s
`, s.Dir, o.Name, commandName(), o.Dir, filepath.Join(o.Dir, filepath.Base(s.Config())))
	return nil
}

// hasOnlyDefaults reports whether a configuration file sets every key to its default, as the file of a
// package does.
func hasOnlyDefaults(file string) bool {
	cfg, err := appliance.Load(file)
	if err != nil {
		return false
	}
	defaults, err := appliance.Parse(file, nil)
	return err == nil && len(config.Changed(defaults, cfg)) == 0
}
