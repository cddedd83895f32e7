package governor

import (
	"context"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

// releaseInterval is how often entries of nodes that are down are looked for.
const releaseInterval = 15 * time.Second

// releaseDown removes the entries of nodes that are down, until Close.
func (g *Gate) releaseDown() {
	ticker := time.NewTicker(min(releaseInterval, g.opts.Release))
	defer ticker.Stop()
	for {
		select {
		case <-g.open.Done():
			return
		case <-ticker.C:
			if err := g.releaseAll(g.open); err != nil && g.open.Err() == nil {
				g.opts.Log.Debug("entries of nodes that are down not removed", "error", err)
			}
		}
	}
}

// releaseAll removes the entries of nodes that have been down for Release from all governors.
func (g *Gate) releaseAll(ctx context.Context) error {
	streams, err := g.streams(ctx)
	if err != nil {
		return err
	}
	for _, stream := range streams {
		var down []entry
		err := g.each(ctx, stream, 1, func(e entry) bool {
			if e.identity != "" && g.opts.IsDown(e.identity, g.opts.Release) {
				down = append(down, e)
			}
			return true
		})
		for i := range down {
			if failed := g.removeSame(ctx, stream, &down[i], removedDown); failed == nil {
				g.opts.Log.Info("entry of a node that is down removed from its governor",
					"stream", stream, "node", down[i].identity)
			} else {
				err = failed
			}
		}
		if err != nil && !isCode(err, codeNoStream) {
			return err
		}
	}
	return nil
}

// streams returns the streams of all governors.
func (g *Gate) streams(ctx context.Context) (governors []string, err error) {
	for offset := 0; ; {
		var page struct {
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		if err := g.call(ctx, "STREAM.NAMES", map[string]int{"offset": offset}, &page); err != nil {
			return nil, err
		}
		for _, name := range page.Streams {
			if contract.GovernorSubjects(name) != "" {
				governors = append(governors, name)
			}
		}
		if offset += len(page.Streams); len(page.Streams) == 0 || offset >= page.Total {
			return governors, nil
		}
	}
}
