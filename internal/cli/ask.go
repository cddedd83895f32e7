package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/spf13/cobra"
)

// askWait is how long the console may take to answer.
const askWait = 10 * time.Second

// asker is a command about a running appliance.
type asker struct {
	*program
	server string
	asJSON bool
}

// command makes one, whose run gets the arguments.
func (a *asker) command(use, short, example string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) },
	}
	a.configFlag(cmd)
	cmd.Flags().BoolVar(&a.asJSON, "json", false, "print JSON")
	return cmd
}

// asking is a command that asks its console.
func (a *asker) asking(use, short, example string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	cmd := a.command(use, short, example, args, run)
	cmd.Flags().StringVar(&a.server, "server", "", "address of the appliance's console, such as http://127.0.0.1:8222; default: console.listen of the configuration")
	return cmd
}

// ask gets a page of the console that the configuration or --server names.
func (a *asker) ask(ctx context.Context, path string, into any) error {
	cfg, err := appliance.Load(a.config)
	if err != nil {
		return err
	}
	server := a.server
	if server == "" {
		server = cfg.Console.Listen
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	return ask(ctx, strings.TrimSuffix(server, "/"), path, into)
}

// ask gets a page of the console as JSON.
func ask(ctx context.Context, server, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+path, nil)
	if err != nil {
		return usageError{fmt.Errorf("--server: %w", err)}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no appliance answers at %s (%w); start one with \"muster run\", or name another with --server", server, errors.Unwrap(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		if sentence := saidBy(response); sentence != "" {
			return errors.New(sentence)
		}
		return fmt.Errorf("%s%s answers %s; is it the console of an appliance?", server, path, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("read the answer of %s%s: %w", server, path, err)
	}
	return nil
}

// saidBy is the sentence with which the API refuses, or empty where it is something else
// that answers.
func saidBy(response *http.Response) string {
	var refusal struct {
		Error string `json:"error"`
	}
	if json.NewDecoder(response.Body).Decode(&refusal) != nil {
		return ""
	}
	return refusal.Error
}
