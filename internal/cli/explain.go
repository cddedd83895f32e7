package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/apiclient"
)

// explain adds to an error of the API client what the operator can do about it, in terms of
// commands and flags. Other errors are returned as they are.
func explain(err error) error {
	var connection *apiclient.ConnectionError
	switch {
	case errors.As(err, &connection):
		if hint := connectionHint(connection); hint != "" {
			return fmt.Errorf("%w; %s", err, hint)
		}
	case apiclient.HasCode(err, console.CodeBadRequest):
		return usageError{err}
	case apiclient.HasCode(err, console.CodeAmbiguousNode):
		return fmt.Errorf("%w; name one of them with --site", err)
	case apiclient.HasCode(err, console.CodeUnauthorized):
		return fmt.Errorf("%w; the token is console.token in the appliance's configuration: "+
			"give that file with --config, or the token with --token file:PATH", err)
	case errors.Is(err, apiclient.ErrIncomplete):
		return fmt.Errorf("%w, and the output is incomplete; the appliance was stopped, or its log has the reason", err)
	}
	return err
}

func connectionHint(err *apiclient.ConnectionError) string {
	switch err.Kind {
	case apiclient.Unreachable:
		return `start one with "muster run", or name another console with --server`
	case apiclient.Timeout:
		return "its log may have the reason (journalctl -u muster)"
	case apiclient.NotHTTP:
		return "give the address of the console, by default http://127.0.0.1:8222"
	case apiclient.ServerUsesHTTPS:
		return "use " + strings.Replace(err.URL, "http://", "https://", 1)
	default:
		return ""
	}
}
