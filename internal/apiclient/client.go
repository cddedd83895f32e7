// Package apiclient asks the console of an appliance and returns typed answers. It prints nothing
// and reads no configuration: the caller says where the console is and how to trust it.
package apiclient

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
)

// DefaultTimeout is how long the console may take to begin an answer.
const DefaultTimeout = 10 * time.Second

// Options say where a console is, and how to ask it.
type Options struct {
	URL     string        // http:// or https://, host and port, without a path
	Token   string        // bearer token; empty: none is sent
	TLS     *tls.Config   // trust for https; nil: the system's
	Timeout time.Duration // until an answer begins, not until it ends; 0: DefaultTimeout
}

// Client asks one console. It is safe for concurrent use, and holds no resources that must be
// released.
type Client struct {
	opts Options
	http *http.Client
}

// New returns a client. It does not connect.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Client{opts: o, http: &http.Client{Transport: &http.Transport{
		ResponseHeaderTimeout: o.Timeout, TLSClientConfig: o.TLS, IdleConnTimeout: time.Minute,
	}}}
}

// Close closes the connections that wait for the next request. A Client can be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL returns the URL of the console.
func (c *Client) URL() string { return c.opts.URL }

// Ready returns whether the appliance is ready, the reasons when it is not, and warnings.
func (c *Client) Ready(ctx context.Context) (console.Readiness, error) {
	response, err := c.do(ctx, "/readyz", "")
	if err != nil {
		return console.Readiness{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable {
		return console.Readiness{}, readError(response)
	}
	var answer struct {
		Ready    *bool            `json:"ready"` // nil: something else answers
		Reasons  []console.Reason `json:"reasons"`
		Warnings []console.Reason `json:"warnings"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Ready == nil {
		return console.Readiness{}, &ConnectionError{Kind: NotConsole, URL: c.opts.URL + "/readyz"}
	}
	return console.Readiness{Ready: *answer.Ready, Reasons: answer.Reasons, Warnings: answer.Warnings}, nil
}

// Fleet returns the fleet view in numbers.
func (c *Client) Fleet(ctx context.Context) (fleet.Summary, error) {
	return getJSON[fleet.Summary](ctx, c, "/api/v1/fleet")
}

// Sites returns the sites that forward to the appliance, after its own.
func (c *Client) Sites(ctx context.Context) (console.Sites, error) {
	return getJSON[console.Sites](ctx, c, "/api/v1/sites")
}

// Site returns one site.
func (c *Client) Site(ctx context.Context, name string) (fleet.SiteStatus, error) {
	return getJSON[fleet.SiteStatus](ctx, c, "/api/v1/sites/"+url.PathEscape(name))
}

// Node returns one node, its registrations and the content of the last one. Without a site, the name must be
// that of one node only.
func (c *Client) Node(ctx context.Context, id fleet.NodeID) (fleet.Detail, error) {
	return getJSON[fleet.Detail](ctx, c, nodePath(id, ""))
}

// Diff compares the last two registrations of a node.
func (c *Client) Diff(ctx context.Context, id fleet.NodeID) (fleet.Diff, error) {
	return getJSON[fleet.Diff](ctx, c, nodePath(id, "/diff"))
}

// nodePath returns the path and query of a request about one node.
func nodePath(id fleet.NodeID, end string) string {
	path := "/api/v1/nodes/" + url.PathEscape(id.Name) + end
	if id.Site != "" {
		path += "?site=" + url.QueryEscape(id.Site)
	}
	return path
}

// Rejected returns refused connections and rejected messages, the latest first.
func (c *Client) Rejected(ctx context.Context) (console.Rejected, error) {
	return getJSON[console.Rejected](ctx, c, "/api/v1/rejected")
}

// Permissions returns publishes and subscriptions that were refused for lack of permission, by identity.
func (c *Client) Permissions(ctx context.Context) (console.Permissions, error) {
	return getJSON[console.Permissions](ctx, c, "/api/v1/permissions")
}

// Streams returns the streams of the appliance, and how they differ from the declared ones.
func (c *Client) Streams(ctx context.Context) (console.Streams, error) {
	return getJSON[console.Streams](ctx, c, "/api/v1/streams")
}

// Forward returns how far the streams of the appliance are forwarded to its hubs.
func (c *Client) Forward(ctx context.Context) (console.Forward, error) {
	return getJSON[console.Forward](ctx, c, "/api/v1/forward")
}

// Leafnodes returns the links of the appliance to brokers of other sites.
func (c *Client) Leafnodes(ctx context.Context) (console.Leafnodes, error) {
	return getJSON[console.Leafnodes](ctx, c, "/api/v1/leafnodes")
}

// Server is the part of the NATS server's /varz that Muster uses.
type Server struct {
	Name        string    `json:"server_name"`
	Start       time.Time `json:"start"`
	Connections int       `json:"connections"`
	JetStream   struct {
		Config struct {
			MaxStorage uint64 `json:"max_storage"` // bytes
		} `json:"config"`
		Stats struct {
			Storage uint64 `json:"storage"` // bytes
		} `json:"stats"`
	} `json:"jetstream"`
}

// Server returns what the NATS server reports of itself.
func (c *Client) Server(ctx context.Context) (Server, error) {
	return getJSON[Server](ctx, c, "/varz")
}

// getJSON decodes the answer of an endpoint.
func getJSON[T any](ctx context.Context, c *Client, path string) (answer T, err error) {
	response, err := c.get(ctx, path, "")
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read the answer of %s%s: %w", c.opts.URL, path, asIncomplete(err))
	}
	return answer, nil
}

// get returns an answer with status 200; any other status is an error. The caller closes the body.
func (c *Client) get(ctx context.Context, path, accept string) (*http.Response, error) {
	response, err := c.do(ctx, path, accept)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	return nil, readError(response)
}

// do sends a GET request. The caller closes the body.
func (c *Client) do(ctx context.Context, path, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.opts.URL+path, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	if c.opts.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.connectionError(ctx, err)
	}
	return response, nil
}
