package apiclient

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
)

func sequences(events []*fleet.Event) (all []uint64) {
	for _, e := range events {
		all = append(all, e.Sequence)
	}
	return all
}

func TestClient_Events(t *testing.T) {
	c := open(t, options())
	since := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		query fleet.EventQuery
		want  string // sequences
	}{
		{"latest", fleet.EventQuery{Latest: true}, "[1 2 3]"},
		{"with a limit", fleet.EventQuery{Latest: true, Limit: 2}, "[1 2]"},
		{"after a sequence", fleet.EventQuery{After: 2}, "[3]"},
		{"since a time", fleet.EventQuery{Since: since}, "[1 2 3]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			page, err := c.Events(t.Context(), test.query)
			if err != nil {
				t.Fatal(err)
			}
			if have := fmt.Sprint(sequences(page.Events)); have != test.want || page.Last != 3 {
				t.Errorf("%s, last %d; want %s", have, page.Last, test.want)
			}
			if !page.Events[0].Since.Equal(test.query.Since) {
				t.Errorf("the console was asked for events since %s", page.Events[0].Since)
			}
		})
	}
}

func TestClient_FollowEvents(t *testing.T) {
	stop := errors.New("enough")
	var events []*fleet.Event
	err := open(t, options()).FollowEvents(t.Context(), 1, func(e *fleet.Event) error {
		if events = append(events, e); len(events) == 2 {
			return stop
		}
		return nil
	})
	if have := fmt.Sprint(sequences(events)); !errors.Is(err, stop) || have != "[2 3]" {
		t.Errorf("%s %v", have, err)
	}
}
