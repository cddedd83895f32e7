package apiclient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
)

// NodeQuery selects nodes. Empty fields select all of them. docs/api.md has the syntax of the
// values; the console checks them.
type NodeQuery struct {
	States      []string // fleet.States; a node must be in one of them
	Sites       []string // one of them
	Identities  []string // names or /regular expressions/; one of them
	Where       []string // conditions on facts, such as os.name=Debian; all of them
	Classes     []string // names or /regular expressions/; all of them
	Agents      []string // names or /regular expressions/; all of them
	Collectives []string // names; one of them, or the node's collectives are not known
	Text        string   // part of the name
	Sort        string   // name, received, since, -received or -since; empty: name
	After       string   // only nodes whose name follows this one; needs the order of names
	Limit       int      // 0: 100 for Nodes; no limit for the other methods
}

// path returns the path and query of a request for the nodes in a format.
func (q NodeQuery) path(format string) string {
	values := url.Values{
		"state": q.States, "site": q.Sites, "identity": q.Identities, "where": q.Where,
		"class": q.Classes, "agent": q.Agents, "collective": q.Collectives, "format": {format},
	}
	for name, value := range map[string]string{"text": q.Text, "sort": q.Sort, "after": q.After} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	return "/api/v1/nodes?" + values.Encode()
}

// Nodes returns one page of nodes. Its Next is the After of the page that follows.
func (c *Client) Nodes(ctx context.Context, q NodeQuery) (fleet.Page, error) {
	return getJSON[fleet.Page](ctx, c, q.path("json"))
}

// EachNode calls handle for every selected node, in the order of the query, and returns handle's first
// error. The nodes are never in memory together.
func (c *Client) EachNode(ctx context.Context, q NodeQuery, handle func(fleet.NodeStatus) error) error {
	response, err := c.get(ctx, q.path("jsonl"), "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for decoder := json.NewDecoder(response.Body); ; {
		var node fleet.NodeStatus
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read nodes: %w", asIncomplete(err))
		}
		if err := handle(node); err != nil {
			return err
		}
	}
}

// NodeNames returns the names of the selected nodes, in the order of the query.
func (c *Client) NodeNames(ctx context.Context, q NodeQuery) (names []string, err error) {
	response, err := c.get(ctx, q.path("names"), "")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		names = append(names, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read names of nodes: %w", asIncomplete(err))
	}
	return names, nil
}

// CopyNodes writes the selected nodes to w in a format of the API: json, jsonl, csv, names,
// flatfile or inventory. It returns how many nodes of an inventory file have registered no
// inventory. After an error, what was written is incomplete.
func (c *Client) CopyNodes(
	ctx context.Context, w io.Writer, format string, q NodeQuery,
) (withoutInventory int, err error) {
	response, err := c.get(ctx, q.path(format), "")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(w, response.Body); err != nil {
		return 0, asIncomplete(err)
	}
	return trailer(response, console.WithoutInventory)
}

// trailer returns the number in a trailer; 0 where it is absent.
func trailer(response *http.Response, name string) (int, error) {
	text := response.Trailer.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read the trailer %s: %w", name, err)
	}
	return n, nil
}
