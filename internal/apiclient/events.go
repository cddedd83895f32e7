package apiclient

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
)

// maxEventBytes is how long one line of server-sent events may be.
const maxEventBytes = 1 << 20

// Events returns a page of stored events. Limit 0 leaves the limit to the console.
func (c *Client) Events(ctx context.Context, q fleet.EventQuery) (fleet.EventPage, error) {
	values := url.Values{}
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	switch {
	case !q.Since.IsZero():
		values.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	case q.Latest: // the endpoint's default
	default:
		values.Set("after", strconv.FormatUint(q.After, 10))
	}
	return getJSON[fleet.EventPage](ctx, c, "/api/v1/events?"+values.Encode())
}

// FollowEvents calls handle for every event after the sequence, those that are stored and those to
// come. It returns when ctx is done, with handle's first error, or with an error when the appliance
// ends the answer: call it again then, after the last sequence that was taken.
func (c *Client) FollowEvents(ctx context.Context, after uint64, handle func(*fleet.Event) error) error {
	response, err := c.get(ctx, fmt.Sprintf("/api/v1/events?after=%d", after), "text/event-stream")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEventBytes)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event fleet.Event
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if err := handle(&event); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %w", asIncomplete(err))
	}
	return fmt.Errorf("read events: %w", ErrIncomplete)
}
