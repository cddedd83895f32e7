package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/spf13/cobra"
)

// identitiesAtOnce is how many identities one question has: an address has its limit, and a
// client may name a whole fleet.
const identitiesAtOnce = 500

// discoverOptions are what --do may say; command is what Choria runs.
var discoverOptions = []string{"command", "server", "state"}

// discover is the discover command.
type discover struct{ asker }

func (p *program) discoverCommand() *cobra.Command {
	d := &discover{asker{program: p}}
	cmd := &cobra.Command{
		Use:   "discover [REQUEST REPLY PROTOCOL]",
		Short: "Find nodes for Choria's clients, as their external discovery method",
		Long: `Find nodes for Choria's clients, as their external discovery method. Choria names a file
with the request and one for the reply, and runs this with its own environment, where
only PATH is set. Nodes are matched as Choria matches them, in whatever state they are;
"--do state=up" has those that are up. What cannot be matched here is answered with an
error: compound filters, and facts that fleet.index does not name.`,
		Example: `  choria ping --dm external --do command="muster discover"
  choria ping -W os.name=Debian --dm external --do command="muster discover" --do state=up`,
		Args: cobra.MaximumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args) },
	}
	d.configFlag(cmd, configHelpConsole)
	d.serverFlag(cmd)
	return cmd
}

// run answers in the reply's file, with what went wrong too: Choria shows that to its user,
// and nothing of a command that fails.
func (d *discover) run(ctx context.Context, args []string) error {
	files := []string{os.Getenv("CHORIA_EXTERNAL_REQUEST"), os.Getenv("CHORIA_EXTERNAL_REPLY")}
	copy(files, args)
	if files[0] == "" || files[1] == "" {
		return usageError{errors.New(`there are no files: Choria runs this, with one for the request and one for the reply: choria ping --dm external --do command="muster discover"`)}
	}
	nodes, err := d.answer(ctx, files[0])
	reply, err := choria.EncodeDiscoveryReply(nodes, err)
	if err != nil {
		return err
	}
	return os.WriteFile(files[1], reply, 0o600)
}

func (d *discover) answer(ctx context.Context, file string) ([]string, error) {
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
			return nil, fmt.Errorf("--do %s is none of %v", option, discoverOptions)
		}
	}
	if server := request.Options["server"]; server != "" {
		d.server = server
	}
	identities := request.Filter.Identities
	if len(identities) == 0 {
		identities = []string{""} // everybody
	}
	var nodes []string
	for some := range slices.Chunk(identities, identitiesAtOnce) {
		found, err := d.find(ctx, request, some)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, found...)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), nil
}

// find asks for the nodes of some of the identities.
func (d *discover) find(ctx context.Context, request *choria.DiscoveryRequest, identities []string) (nodes []string, err error) {
	query := url.Values{
		"format": {"names"}, "identity": identities, "class": request.Filter.Classes, "agent": request.Filter.Agents,
	}
	if states := request.Options["state"]; states != "" {
		query["state"] = strings.Split(states, ",")
	}
	for _, f := range request.Filter.Facts {
		query.Add("where", f.String())
	}
	body, err := d.fetch(ctx, "/api/v1/nodes?"+query.Encode())
	if err != nil {
		return nil, err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		nodes = append(nodes, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return nodes, nil
}
