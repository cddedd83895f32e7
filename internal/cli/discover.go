package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/spf13/cobra"
)

// maxIdentities is how many identities one request to the console names: a URL must stay short,
// and a client may name a whole fleet.
const maxIdentities = 500

// discoverOptions are the keys that --do of a Choria client may set. Choria itself uses command.
var discoverOptions = []string{"command", "server", "state", "site"}

// discoverStates are the states of nodes that are found unless the client chooses others. A node in another
// state does not answer, or has not registered, so that nothing is known of it.
var discoverStates = []string{string(fleet.Up), string(fleet.Late)}

// discoverCommand is the discover command.
type discoverCommand struct{ consoleCommand }

func (p *program) discoverCommand() *cobra.Command {
	c := &discoverCommand{consoleCommand{program: p}}
	cmd := &cobra.Command{
		Use:   "discover [REQUEST REPLY PROTOCOL]",
		Short: "Find nodes for Choria clients, as their external discovery method",
		Long: `Find nodes for Choria clients, as their external discovery method. Choria runs this
command with two files, one with the request and one for the reply, and with an
environment in which only PATH is set. Nodes are matched as Choria matches them, among
those that are up or late: a request to any other node only costs a time-out. Choose
other states with "--do state=up,late,down". At a hub, nodes of other sites are found only
with "--do site=ams,fra". A request that cannot be matched here gets an error: one with
compound filters, or with facts that fleet.index does not name.`,
		Example: `  choria discover -W os.name=Debian --dm external --do command="muster discover"
  choria req rpcutil ping --dm external --do command="muster discover" --do state=up`,
		Args: cobra.MaximumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	c.configFlag(cmd, configHelpConsole)
	c.consoleFlags(cmd)
	return cmd
}

// run writes the reply, also when discovery fails: Choria shows the user the error in a reply, but no
// output of a failed command.
func (c *discoverCommand) run(ctx context.Context, args []string) error {
	files := []string{os.Getenv("CHORIA_EXTERNAL_REQUEST"), os.Getenv("CHORIA_EXTERNAL_REPLY")}
	copy(files, args)
	if files[0] == "" || files[1] == "" {
		return usageError{errors.New(`the files for request and reply are missing; Choria runs this command and ` +
			`names them: choria discover --dm external --do command="muster discover"`)}
	}
	nodes, err := c.discover(ctx, files[0])
	reply, err := choria.EncodeDiscoveryReply(nodes, explain(err))
	if err != nil {
		return err
	}
	return os.WriteFile(files[1], reply, 0o600)
}

// discover returns the names of the nodes that the request in a file selects, sorted.
func (c *discoverCommand) discover(ctx context.Context, file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	request, err := choria.ParseDiscoveryRequest(text)
	if err != nil {
		return nil, err
	}
	if request.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(request.Timeout*float64(time.Second)))
		defer cancel()
	}
	for option := range request.Options {
		if !slices.Contains(discoverOptions, option) {
			return nil, fmt.Errorf("--do %s is unknown; give one of %v", option, discoverOptions)
		}
	}
	if server := request.Options["server"]; server != "" {
		c.server = server
	}
	client, err := c.connect()
	if err != nil {
		return nil, err
	}
	return findNodes(ctx, client, request)
}

// discoverSites returns the sites whose nodes are found: those that the client chooses, otherwise that of the
// appliance. A request does not reach nodes of the sites that only forward to it. None: of every site.
func discoverSites(ctx context.Context, client *apiclient.Client, chosen string) (names []string, err error) {
	if chosen != "" {
		return strings.Split(chosen, ","), nil
	}
	sites, err := allSites(ctx, client)
	if len(sites) > 1 {
		names = []string{sites[0].Site}
	}
	return names, err
}

// findNodes asks the console for the nodes of a request, in batches of maxIdentities.
func findNodes(ctx context.Context, client *apiclient.Client, request *choria.DiscoveryRequest) ([]string, error) {
	query := apiclient.NodeQuery{
		States: discoverStates, Classes: request.Filter.Classes, Agents: request.Filter.Agents,
	}
	if request.Collective != "" {
		query.Collectives = []string{request.Collective}
	}
	if states := request.Options["state"]; states != "" {
		query.States = strings.Split(states, ",")
	}
	var err error
	if query.Sites, err = discoverSites(ctx, client, request.Options["site"]); err != nil {
		return nil, err
	}
	for _, f := range request.Filter.Facts {
		query.Where = append(query.Where, f.String())
	}
	identities := request.Filter.Identities
	if len(identities) == 0 {
		return client.NodeNames(ctx, query)
	}
	var nodes []string
	for batch := range slices.Chunk(identities, maxIdentities) {
		query.Identities = batch
		found, err := client.NodeNames(ctx, query)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, found...)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), nil
}
