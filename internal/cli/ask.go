package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	// askWait is how long the console may take to answer.
	askWait = 10 * time.Second
	// installedConfig is where packages put the configuration.
	installedConfig = "/etc/muster/appliance.toml"
)

// asker is a command about a running appliance.
type asker struct {
	*program
	server string
	token  string
	ca     string
	asJSON bool
	asCSV  bool
	at     *desk // once it is known
}

// command makes one, whose run gets the arguments.
func (a *asker) command(use, short, example string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) },
	}
	a.configFlag(cmd, configHelpConsole)
	cmd.Flags().BoolVar(&a.asJSON, "json", false, "print JSON")
	return cmd
}

// asking is a command that asks its console.
func (a *asker) asking(use, short, example string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	cmd := a.command(use, short, example, args, run)
	a.serverFlag(cmd)
	return cmd
}

// listing is a command that asks for a list.
func (a *asker) listing(use, short, example string, run func(ctx context.Context, args []string) error) *cobra.Command {
	cmd := a.asking(use, short, example, cobra.NoArgs, run)
	cmd.Flags().BoolVar(&a.asCSV, "csv", false, "print CSV")
	mutuallyExclusive(cmd, "json", "csv")
	return cmd
}

func (a *asker) serverFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.server, "server", "", "address of the appliance's console, such as http://127.0.0.1:8222; default: console.listen of the configuration")
	cmd.Flags().StringVar(&a.token, "token", "", "token of the console that --server names, or file:PATH")
	cmd.Flags().StringVar(&a.ca, "ca", "", "PEM file with who has signed the certificate of the console that --server names; default: the system's")
}

// ask gets a page of the console that the configuration or --server names, as JSON.
func (a *asker) ask(ctx context.Context, path string, into any) error {
	body, err := a.fetch(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

// fetch gets a page as it comes, in the form that its path names.
func (a *asker) fetch(ctx context.Context, path string) (io.ReadCloser, error) {
	response, err := a.fetchAs(ctx, path, "")
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// fetchAs gets a page of that type. What is no page is an error.
func (a *asker) fetchAs(ctx context.Context, path, contentType string) (*http.Response, error) {
	response, err := a.get(ctx, path, contentType)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	return nil, refusal(response)
}

// get asks the console.
func (a *asker) get(ctx context.Context, path, contentType string) (*http.Response, error) {
	at, err := a.desk()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url+path, nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--server: %w", err)}
	}
	if contentType != "" {
		request.Header.Set("Accept", contentType)
	}
	if at.token != "" {
		request.Header.Set("Authorization", "Bearer "+at.token)
	}
	response, err := at.client.Do(request)
	if err != nil {
		return nil, unanswered(at.url, err)
	}
	return response, nil
}

// unanswered says what is wrong where no answer comes, and what to do.
func unanswered(url string, err error) error {
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout():
		return fmt.Errorf("what listens at %s does not answer within %s: it hangs or has too much to do; its log may say why (journalctl -u muster)", url, askWait)
	case strings.Contains(err.Error(), "malformed HTTP"):
		return fmt.Errorf("what answers at %s does not speak HTTP; a console does, by itself at http://127.0.0.1:8222", url)
	}
	return fmt.Errorf("no appliance answers at %s (%w); start one with \"muster run\", or name another with --server", url, errors.Unwrap(err))
}

// refusal is what an answer says that is no page: the API's sentence, if it is the API that
// answers.
func refusal(response *http.Response) error {
	var said struct {
		Error string `json:"error"`
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	switch err := json.Unmarshal(text, &said); {
	case strings.Contains(string(text), "HTTP request to an HTTPS server"):
		return fmt.Errorf("%s speaks HTTPS; name it as https://%s", response.Request.URL.Host, response.Request.URL.Host)
	case err != nil || said.Error == "":
		return fmt.Errorf("%s answers %s; is it the console of an appliance?", response.Request.URL, response.Status)
	case response.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s; it is console.token in the appliance's configuration: name that with --config, or give it with --token file:PATH", said.Error)
	case response.StatusCode == http.StatusBadRequest:
		return usageError{errors.New(said.Error)}
	default:
		return errors.New(said.Error)
	}
}
