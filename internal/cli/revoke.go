package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/spf13/cobra"
)

func (p *program) revokeCommand() *cobra.Command {
	var dir string
	var serials []string
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Revoke the certificates or tokens of a node, client or edge",
		Long: `Revoke all certificates or tokens that "muster enroll" has issued for a node, client or edge until
now: add them to crl.pem or revoked.txt in the directory. A client with a token is named by its
caller id, such as choria=rip. The appliance reads these files again when they have changed,
ends the connections, and rejects the messages. A node or client that is enrolled again
afterwards is admitted.`,
		Example: `  muster revoke web1.example.net --dir /etc/muster
  muster revoke web1.example.net --dir ./site --serial 0A1B2C3D`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.revoke(dir, args[0], serials) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory that \"muster init\" wrote; required")
	cmd.Flags().StringArrayVar(&serials, "serial", nil,
		"serial number of a certificate, in hex, that is not known in the directory; repeatable")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// openSite opens the directory that --dir names.
func openSite(dir string) (*enroll.Site, error) {
	if dir == "" {
		return nil, usageError{errors.New("--dir is required: the directory that \"muster init\" wrote")}
	}
	return enroll.Open(dir)
}

// revoke revokes what a node has, and prints what to do next.
func (p *program) revoke(dir, name string, serials []string) error {
	s, err := openSite(dir)
	if err != nil {
		return err
	}
	count, file, err := s.Revoke(name, serials, time.Now())
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d certificates of %s are", count, name)
	if count == 1 {
		what = "The certificate of " + name + " is"
	}
	if s.IssuesTokens() {
		what = "The tokens of " + name + " are"
	}
	fmt.Fprintf(p.out, "%s revoked in %s.\n", what, file)
	if s.IssuesTokens() && !s.HasEnrolled(name) {
		fmt.Fprintf(p.out, "No node or client of that name was enrolled in %s: check the name.\n", dir)
	}
	p.printApplied(s)
	flags := "--force"
	switch {
	case s.HasClient(name):
		flags = "--client --force"
	case s.HasEdge(name):
		flags = "--site SITE --force"
	}
	fmt.Fprintf(p.out, "To admit it again:\n\n  %s enroll %s --dir %s %s\n", commandName(), name, dir, flags)
	return nil
}

// printApplied prints when an appliance applies the changed files of a site.
func (p *program) printApplied(s *enroll.Site) {
	if missing := missingKey(s); missing != "" {
		fmt.Fprintf(p.out, "It has no effect yet: %s does not name the file.\n"+
			"Add this line and restart the appliance:\n\n  %s\n\n", s.Config(), missing)
		return
	}
	fmt.Fprintln(p.out, "An appliance that reads the files there applies the change within seconds. "+
		"If yours reads copies, copy them now.")
}

// missingKey returns the line that the appliance's configuration needs so that it reads what is revoked;
// empty if it has one, or if the configuration is not there.
func missingKey(s *enroll.Site) string {
	cfg, err := appliance.Load(s.Config())
	switch {
	case err != nil:
		return ""
	case s.IssuesTokens() && cfg.Broker.RevokedTokens == "":
		return fmt.Sprintf("revoked_tokens = %q   # in [broker]", s.RevokedTokens())
	case !s.IssuesTokens() && !slices.Contains(cfg.Broker.TLS.CRL, s.CRL()) && cfg.Broker.TLS.CA == s.Files().CA:
		return fmt.Sprintf("crl = %q   # in [broker.tls]", s.CRL())
	}
	return ""
}
