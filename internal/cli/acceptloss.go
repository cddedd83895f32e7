package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/spf13/cobra"
)

// acceptTimeout is how long the appliance may take to answer.
const acceptTimeout = 10 * time.Second

func (c *streamsCommand) acceptLossCommand() *cobra.Command {
	cmd := c.newCommand("accept-loss STREAM", "End the warnings about a stream that lost messages",
		"  muster streams accept-loss CHORIA_REGISTRATION\n"+
			"  muster streams accept-loss CHORIA_REGISTRATION --config /etc/muster/appliance.toml",
		cobra.ExactArgs(1), c.acceptLoss)
	cmd.Flags().Lookup("config").Usage = configHelpStreams
	cmd.Long = `End the warnings stream-lost, sequences-reset, stream-restored, consumer-lost,
consumer-reset and consumer-restored about a stream. They stay, also when the appliance is
restarted, until you accept that the messages are lost. The command brings nothing back.
For the warning integrity-unknown, the name is record.`
	return cmd
}

// acceptLoss asks the appliance over the broker, because the console is read-only.
func (c *streamsCommand) acceptLoss(ctx context.Context, args []string) error {
	stream := args[0]
	if stream == "" || strings.ContainsAny(stream, ".*> \t") {
		return usageError{fmt.Errorf("%q is not a valid name for a stream", stream)}
	}
	cfg, err := c.loadDeclared()
	if err != nil {
		return err
	}
	nc, err := connectAdmin(cfg)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, contract.SubjectAcceptLoss+stream, nil)
	if err != nil {
		return fmt.Errorf("ask the appliance to accept the loss: %w", err)
	}
	var answer appliance.AcceptAnswer
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("read the answer of the appliance: %w", err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	if c.asJSON {
		return c.printJSON(answer)
	}
	fmt.Fprintf(c.out, "accepted: the warnings about %s have ended\n", stream)
	return nil
}
