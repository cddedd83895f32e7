package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/spf13/cobra"
)

// Directories of Choria's files.
const (
	nodeDir   = "/etc/choria"
	clientDir = "~/.config/choria"
)

// enrollment is what the flags and the argument of enroll say.
type enrollment struct {
	name                        string
	dir, installDir, collective string
	client, force               bool
	site                        string // of the edge; empty: a node or client
	broker                      string // host and port, or a URL wss://; by default from the appliance's configuration
}

func (p *program) enrollCommand() *cobra.Command {
	var e enrollment
	cmd := &cobra.Command{
		Use:   "enroll NAME",
		Short: "Create the certificate or token, and the configuration, of a node, client or edge",
		Long: `Create the files with which a node registers: its certificate, or its token if the
directory was made by "muster init --issuer", and a server.conf for its Choria server. Copy
them to the node.

With --client, create those with which a user runs Choria's commands, such as "choria ping":
a certificate or token, and a client.conf. NAME is the name of the user, such as rip, or of
the certificate, such as rip.mcollective.

With --site, create those of an edge: an appliance that collects for this site and forwards to the
one whose directory this is, its hub. NAME is the host name of the edge. The hub's configuration
gets the site. Nodes and clients that are enrolled in the directory can connect to the edge: name it
with --broker when you enroll them.`,
		Example: `  muster enroll web1.example.net --dir /etc/muster
  muster enroll --site ams collector1.ams.example.net --dir /etc/muster`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			e.name = args[0]
			return p.enroll(e)
		},
	}
	cmd.Flags().StringVar(&e.dir, "dir", "", "directory that \"muster init\" wrote; required")
	cmd.Flags().BoolVar(&e.client, "client", false, "enroll a client, that is, a user of Choria's commands")
	cmd.Flags().StringVar(&e.site, "site", "", "enroll the edge of this site")
	cmd.Flags().StringVar(&e.broker, "broker", "", "host and port of the broker to which the node, client or edge "+
		"connects, or wss://HOST:PORT; default: that of the directory")
	cmd.Flags().StringVar(&e.installDir, "install-dir", "", "directory on the other machine to which you copy the files; "+
		"default: "+nodeDir+" for nodes, "+clientDir+" for clients, /etc/muster for edges")
	cmd.Flags().StringVar(&e.collective, "collective", "",
		"collective of the node or client; default: mcollective, or choria with tokens")
	cmd.Flags().BoolVar(&e.force, "force", false, "overwrite existing files")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// enroll creates the files of a node, client or edge and prints the next step.
func (p *program) enroll(e enrollment) error {
	if err := e.validate(); err != nil {
		return err
	}
	s, err := openSite(e.dir)
	if err != nil {
		return err
	}
	cfg, err := appliance.Load(s.Config())
	if err != nil {
		return err
	}
	e.broker = withPort(e.broker)
	if e.broker == "" {
		e.broker = net.JoinHostPort(cfg.Identity, portOf(cfg.Broker.ListenAddress()))
	}
	if e.site != "" {
		return p.enrollEdge(s, cfg, e)
	}
	return p.enrollNodeOrClient(s, cfg, e)
}

// enrollNodeOrClient creates the files of a node or client, if the broker would admit its certificate as such.
func (p *program) enrollNodeOrClient(s *enroll.Site, cfg *appliance.Config, e enrollment) error {
	if !s.IssuesTokens() && e.collective != "" && !cfg.Broker.AllowsCollective(e.collective) {
		return fmt.Errorf("certificates may not use --collective %s: broker.collectives in %s is %v; add it there first",
			e.collective, s.Config(), cfg.Broker.Collectives)
	}
	switch ofClient := cfg.Broker.Roles.OfClient; {
	case !e.client && ofClient(e.name):
		return fmt.Errorf("%q is the name of a client, not of a node, because broker.roles in %s has a pattern for it; "+
			"add --client", e.name, s.Config())
	case !e.client:
		return p.enrollNode(s, e)
	case !s.IssuesTokens() && !ofClient(s.ClientIdentity(e.name)):
		return fmt.Errorf("a certificate %q would be that of a node: broker.roles.client in %s is %v; "+
			"use a name that one of them matches", s.ClientIdentity(e.name), s.Config(), cfg.Broker.Roles.Client)
	default:
		return p.enrollClient(s, e)
	}
}

// validate checks the flags.
func (e enrollment) validate() error {
	switch {
	case e.broker != "" && !isBroker(e.broker, e.site != ""):
		return usageError{fmt.Errorf("--broker %q is not a host and a port, such as collector1.example.net:4222, "+
			"or a URL such as wss://collector1.example.net:443", e.broker)}
	case e.site != "" && e.client:
		return usageError{errors.New("--site and --client cannot be used together: --site is for an edge")}
	case e.site != "" && e.collective != "":
		return usageError{errors.New("--collective is for nodes and clients, not for an edge")}
	}
	return nil
}

func (p *program) enrollNode(s *enroll.Site, e enrollment) error {
	n := enroll.Node{Identity: e.name, Broker: e.broker, Collective: e.collective, Force: e.force,
		InstallDir: cmp.Or(e.installDir, nodeDir)}
	files, err := s.Enroll(n, time.Now())
	if err != nil {
		return err
	}
	conf := filepath.Join(n.InstallDir, "server.conf")
	fmt.Fprintf(p.out, `%s is enrolled. Copy the files in %s to %s on the node, and run there:

  choria server run --config %s

`, n.Identity, files, n.InstallDir, conf)
	if s.IssuesTokens() {
		fmt.Fprintln(p.out, "Clients may run the actions that their tokens name.")
		return nil
	}
	fmt.Fprintf(p.out, "The node denies all actions but \"choria ping\" until you decide which clients may run them:\n"+
		"see rpcauthorization in %s.\n", conf)
	return nil
}

func (p *program) enrollClient(s *enroll.Site, e enrollment) error {
	c := enroll.Client{Identity: s.ClientIdentity(e.name), Broker: e.broker, Collective: e.collective, Force: e.force,
		InstallDir: cmp.Or(e.installDir, clientDir)}
	files, err := s.EnrollClient(c, time.Now())
	if err != nil {
		return err
	}
	user := enroll.ClientUser(c.Identity)
	as, environment := "as the user "+user, ""
	if user == "" {
		as, environment = "as any user", "MCOLLECTIVE_CERTNAME="+c.Identity+" "
	}
	fmt.Fprintf(p.out, `%[1]s is enrolled as a client. Copy the files in %[2]s to %[3]s on the client's
machine, and run there, %[4]s:

  cp %[5]s ~/.choriarc
  %[6]schoria ping

Choria's commands read ~/.choriarc or, if a user has none, /etc/choria/client.conf.
`, c.Identity, files, c.InstallDir, as, path.Join(c.InstallDir, "client.conf"), environment)
	return nil
}
