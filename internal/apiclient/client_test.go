package apiclient

import (
	"strings"
	"testing"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
)

func TestClient_TypedAnswers(t *testing.T) {
	c := open(t, options())
	ctx, node := t.Context(), fleet.NodeID{Site: "a b", Name: "web 1/a"}
	for name, test := range map[string]struct {
		get  func() (any, error)
		want string // part of the answer as JSON
	}{
		"Ready":       {func() (any, error) { return c.Ready(ctx) }, `{"ready":false,"reasons":[{"code":"disk-short"`},
		"Fleet":       {func() (any, error) { return c.Fleet(ctx) }, `"nodes":2500`},
		"Node":        {func() (any, error) { return c.Node(ctx, node) }, `"site":"a b"`},
		"Diff":        {func() (any, error) { return c.Diff(ctx, node) }, `"volatile":3`},
		"Sites":       {func() (any, error) { return c.Sites(ctx) }, `{"sites":[{"site":"ams","home":true`},
		"Site":        {func() (any, error) { return c.Site(ctx, "a b") }, `{"site":"a b"`},
		"Rejected":    {func() (any, error) { return c.Rejected(ctx) }, `"forgotten":2`},
		"Permissions": {func() (any, error) { return c.Permissions(ctx) }, `"forgotten":4`},
		"Streams":     {func() (any, error) { return c.Streams(ctx) }, `"overlap":"A and B"`},
		"Forward":     {func() (any, error) { return c.Forward(ctx) }, `{"hubs":[{"hub":"central"`},
		"Server":      {func() (any, error) { return c.Server(ctx) }, `"server_name":"a1"`},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := test.get()
			if have := text(t, answer); err != nil || !strings.Contains(have, test.want) {
				t.Errorf("%s %v; want %s", have, err, test.want)
			}
		})
	}
}

func TestClient_ReadyWithoutReasons(t *testing.T) {
	o := options()
	o.NotReady = func() []console.Reason { return nil }
	if r, err := open(t, o).Ready(t.Context()); err != nil || !r.Ready || len(r.Reasons) != 0 {
		t.Errorf("%+v %v", r, err)
	}
}
