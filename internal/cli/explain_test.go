package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/apiclient"
)

func TestExplain_AddsHint(t *testing.T) {
	const url = "http://127.0.0.1:8222"
	refused := errors.New("connection refused")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{
			"unreachable", &apiclient.ConnectionError{Kind: apiclient.Unreachable, URL: url, Err: refused},
			`no appliance answers at http://127.0.0.1:8222 (connection refused); start one with "muster run"`,
		},
		{
			"timeout",
			&apiclient.ConnectionError{Kind: apiclient.Timeout, URL: url, Timeout: 10 * time.Second, Err: refused},
			"did not answer within 10s: the appliance hangs or is overloaded; " +
				"its log may have the reason (journalctl -u muster)",
		},
		{
			"not HTTP", &apiclient.ConnectionError{Kind: apiclient.NotHTTP, URL: url, Err: refused},
			"does not use HTTP; give the address of the console",
		},
		{
			"HTTPS", &apiclient.ConnectionError{Kind: apiclient.ServerUsesHTTPS, URL: url},
			"uses HTTPS; use https://127.0.0.1:8222",
		},
		{
			"unauthorized", &apiclient.Error{Code: console.CodeUnauthorized, Message: "no token"},
			"no token; the token is console.token in the appliance's configuration",
		},
		{
			"ambiguous node", &apiclient.Error{Code: console.CodeAmbiguousNode, Message: "two"},
			"two; name one of them with --site",
		},
		{
			"incomplete", fmt.Errorf("read nodes: %w", apiclient.ErrIncomplete),
			"read nodes: the answer ended early, and the output is incomplete",
		},
		{"another error", refused, "connection refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := explain(test.err)
			if !strings.Contains(err.Error(), test.want) || !errors.Is(err, test.err) {
				t.Errorf("%v; want %s", err, test.want)
			}
		})
	}
}

func TestExplain_BadRequestIsAUsageError(t *testing.T) {
	err := explain(&apiclient.Error{Code: console.CodeBadRequest, Message: "limit"})
	if !errors.As(err, new(usageError)) || err.Error() != "limit" {
		t.Errorf("%#v", err)
	}
	if explain(nil) != nil {
		t.Error("no error is explained")
	}
}
