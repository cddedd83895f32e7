package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/tidwall/gjson"
)

// content is an unpacked registration.
type content struct {
	kind      string // inventory, file or body
	data      []byte
	inventory *choria.Inventory // nil: a file or body that is not a JSON object
}

// unpack unpacks a stored registration. The format "plain" stores it unpacked, with its kind in
// a header; otherwise the kind is empty. If a file or body is a JSON object, its members are
// the facts. Content that is too large or nested too deeply is an error: no parser reads it.
func unpack(kind string, data []byte) (content, error) {
	if kind == "" {
		body, err := choria.OutputBody(data)
		if err != nil {
			return content{}, err
		}
		unpacked, err := choria.Unpack(body, maxUnpacked)
		if err != nil {
			return content{}, err
		}
		kind, data = unpacked.Kind, unpacked.Payload
	}
	c := content{kind: kind}
	if err := checkContent(data); err != nil {
		return c, err
	}
	c.data = data
	switch {
	case kind == choria.ContentInventory:
		c.inventory = new(choria.Inventory)
		if err := json.Unmarshal(data, c.inventory); err != nil {
			return c, fmt.Errorf("read inventory: %w", err)
		}
	case gjson.ValidBytes(data) && gjson.ParseBytes(data).IsObject():
		c.inventory = &choria.Inventory{Facts: data}
	}
	return c, nil
}

// checkContent returns choria.ErrTooLarge or choria.ErrLimit for content that would take too much
// memory to read.
func checkContent(data []byte) error {
	if len(data) > maxUnpacked {
		return fmt.Errorf("%w: more than %d bytes", choria.ErrTooLarge, maxUnpacked)
	}
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return choria.CheckDepth(text)
	}
	return nil // not an object or array
}
