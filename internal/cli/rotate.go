package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/spf13/cobra"
)

// rotation is what the flags of "muster rotate" select.
type rotation struct {
	dir                   string
	issuer, finish, force bool
}

func (p *program) rotateCommand() *cobra.Command {
	var r rotation
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the CA or the issuer of tokens, with both in use meanwhile",
		Long: `Replace the certificate authority that "muster init" made or, with --issuer, the issuer of
tokens. First both are accepted, the old one and the new one, while you enroll the nodes
and clients again. Then --finish ends that: only the new one counts. Each stage prints what to do next.
A command that was interrupted can be run again.`,
		Example: `  muster rotate --dir /etc/muster
  muster rotate --dir /etc/muster --finish`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.rotate(r) },
	}
	cmd.Flags().StringVar(&r.dir, "dir", "", "directory that \"muster init\" wrote; required")
	cmd.Flags().BoolVar(&r.issuer, "issuer", false, "rotate the issuer of tokens instead of the CA")
	cmd.Flags().BoolVar(&r.finish, "finish", false, "end the rotation: the old CA or issuer counts no more")
	cmd.Flags().BoolVar(&r.force, "force", false, "with --finish: also if nodes or clients have not been enrolled again")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

func (p *program) rotate(r rotation) error {
	s, err := openSite(r.dir)
	if err != nil {
		return err
	}
	switch {
	case r.issuer && r.finish:
		return p.finishIssuer(s, r)
	case r.issuer:
		return p.rotateIssuer(s, r)
	case r.finish:
		return p.finishCA(s, r)
	default:
		return p.rotateCA(s, r)
	}
}

func (p *program) rotateCA(s *enroll.Site, r rotation) error {
	if !s.RotatesCA() {
		if err := s.RotateCA(time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "A new CA issues certificates from now on; the old one counts beside it.\n")
		p.printApplied(s)
	} else {
		fmt.Fprintln(p.out, "The CA is being rotated: the old one counts beside the new one.")
	}
	if edges := s.Edges(); len(edges) > 0 {
		fmt.Fprintf(p.out, "Begin with the edges (%s): enroll them again with --site, copy their files to them, and\n"+
			"restart them. An edge without the new ca.pem refuses certificates of the new CA.\n", strings.Join(edges, " "))
	}
	next := "Enroll each node and client again and copy its files to it; clients with --client:"
	command := r.enrollAgain()
	if s.IssuesTokens() {
		next = "Copy ca.pem in " + s.Dir + " to each node and client, as the file that plugin.security.choria.ca names.\n" +
			"Once one has it, record that here, for clients in clients/; --finish refuses while one lacks it:"
		command = "cp " + filepath.Join(r.dir, "ca.pem") + " " + filepath.Join(r.dir, "nodes", "NODE", "ca.pem")
	}
	p.printStages(next, command, "rotate --dir "+r.dir+" --finish", s.NeedOldCA())
	return nil
}

func (p *program) finishCA(s *enroll.Site, r rotation) error {
	if err := s.FinishCA(r.force, time.Now()); err != nil {
		return err
	}
	fmt.Fprintln(p.out, "Only the new CA counts: certificates of the old one are refused.")
	p.printApplied(s)
	return nil
}

// enrollAgain returns the command that enrolls a node again.
func (r rotation) enrollAgain() string {
	return fmt.Sprintf("%s enroll NODE --dir %s --force", commandName(), r.dir)
}

// printStages prints the next command of a rotation, and the one that ends it.
func (p *program) printStages(next, command, finish string, left []string) {
	fmt.Fprintf(p.out, "\n%s\n\n  %s\n", next, command)
	if len(left) > 0 {
		fmt.Fprintf(p.out, "\nStill to do, %d: %s\n", len(left), strings.Join(left, " "))
	}
	fmt.Fprintf(p.out, "\nWhen all have theirs, finish:\n\n  %s %s\n", commandName(), finish)
}

// rotateIssuer begins a rotation of the issuer or, once the appliance trusts the new one, makes that
// issue the tokens.
func (p *program) rotateIssuer(s *enroll.Site, r rotation) error {
	again := fmt.Sprintf("%s rotate --issuer --dir %s", commandName(), r.dir)
	prepared := s.IssuerStage() == enroll.IssuerPrepared
	if s.IssuerStage() != enroll.IssuerSwitched {
		name, key, err := s.NextIssuer()
		if err != nil {
			return err
		}
		trusted, line, err := trustIssuer(s.Config(), name, key)
		if err != nil {
			return err
		}
		if !prepared || !trusted {
			if !trusted {
				fmt.Fprintf(p.out, "Add this line to [broker.issuers] in %s:\n\n  %s\n\n", s.Config(), line)
			}
			fmt.Fprintf(p.out, "There is a new issuer, %s; the old one issues the tokens still. Restart every appliance "+
				"that\nnodes connect to, so that it trusts both. Then run again:\n\n  %s\n", name, again)
			return nil
		}
		if err := s.SwitchIssuer(); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.out, "The new issuer, %s, issues the tokens; the old one, %s, counts beside it.\n",
		s.IssuerName(), s.OldIssuer())
	p.printStages("Enroll each node again and copy its files to it; clients need new tokens too:",
		r.enrollAgain(), "rotate --issuer --dir "+r.dir+" --finish", s.NeedOldIssuer())
	return nil
}

func (p *program) finishIssuer(s *enroll.Site, r rotation) error {
	if err := s.CheckFinishIssuer(r.force); err != nil {
		return err
	}
	old := s.OldIssuer()
	removed, err := distrustIssuer(s.Config(), old)
	if err != nil {
		return err
	}
	if err := s.FinishIssuer(); err != nil {
		return err
	}
	if !removed {
		fmt.Fprintf(p.out, "Remove %s from [broker.issuers] in %s.\n", old, s.Config())
	}
	fmt.Fprintf(p.out, "Restart every appliance that nodes connect to; from then on only tokens of %s count.\n",
		s.IssuerName())
	return nil
}
