package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/brokerconf"
	"github.com/spf13/cobra"
)

func (p *program) importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import BROKER.CONF",
		Short: "Write the appliance.toml that does what a Choria broker's configuration says",
		Long: `Read the configuration of a Choria broker, with plugin.d beside it, and print an
appliance.toml that does the same. What has no place in that is at its end as a comment,
with the reason, and on standard error. Look at the lines that begin with CAUTION: there
Choria does something else than it seems. Nothing is changed.`,
		Example: `  muster import /etc/choria/broker.conf > appliance.toml
  muster import /etc/choria/broker.conf | muster check --config /dev/stdin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("name one file, such as muster import /etc/choria/broker.conf")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return p.importBroker(args[0]) },
	}
}

func (p *program) importBroker(path string) error {
	file, err := brokerconf.Read(path)
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return fmt.Errorf("%s: %w", cause.Path, cause.Err)
	}
	if err != nil {
		return err
	}
	here, _ := appliance.Parse("", nil) // the defaults are valid
	text, remarks := file.Translate(here.Identity)
	for _, remark := range remarks {
		fmt.Fprintln(p.err, remark)
	}
	_, err = fmt.Fprint(p.out, text)
	return err
}
