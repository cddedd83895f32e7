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

// serverFlag is for the commands that ask a running appliance.
func serverFlag(cmd *cobra.Command, server *string) {
	cmd.Flags().StringVar(server, "server", "", "address of the appliance's console, such as http://127.0.0.1:8222; default: console.listen of the configuration")
}

// ask gets a page of the console as JSON.
func ask(ctx context.Context, cfg *appliance.Config, server, path string, into any) error {
	if server == "" {
		server = cfg.Console.Listen
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server, "/")+path, nil)
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
