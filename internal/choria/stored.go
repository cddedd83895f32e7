package choria

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"
)

// MaxContent is the largest registration that UnpackStored and Digest read, in bytes when unpacked: as large as an
// adapter unpacks by default. Real inventories have tens of kilobytes.
const MaxContent = 1 << 20

// StoredContent is the content of a registration that an adapter has stored.
type StoredContent struct {
	Kind      string     // ContentInventory, ContentFile or ContentBody; empty if the registration cannot be read
	Data      []byte     // nil if it is too large or nested too deeply
	Inventory *Inventory // nil: a file or body that is not a JSON object
}

// UnpackStored unpacks a stored registration. The format "plain" stores it unpacked, with its kind in
// a header; otherwise the kind is empty. If a file or body is a JSON object, its members are
// the facts. Content that is too large or nested too deeply is an error: no parser reads it.
func UnpackStored(kind string, data []byte) (StoredContent, error) {
	kind, data, err := readStored(kind, data)
	c := StoredContent{Kind: kind, Data: data}
	if err != nil {
		return c, err
	}
	switch {
	case kind == ContentInventory:
		c.Inventory = new(Inventory)
		if err := json.Unmarshal(data, c.Inventory); err != nil {
			return c, fmt.Errorf("read inventory: %w", err)
		}
	case gjson.ValidBytes(data) && gjson.ParseBytes(data).IsObject():
		c.Inventory = &Inventory{Facts: data}
	}
	return c, nil
}

// readStored returns the kind and the bytes of the content of a stored registration. If it returns an error, the bytes
// are nil, and the kind is empty if it is not known.
func readStored(kind string, data []byte) (contentKind string, content []byte, err error) {
	if kind == "" {
		body, err := OutputBody(data)
		if err != nil {
			return "", nil, err
		}
		unpacked, err := Unpack(body, MaxContent)
		if err != nil {
			return "", nil, err
		}
		kind, data = unpacked.Kind, unpacked.Payload
	}
	if err := checkContent(data); err != nil {
		return kind, nil, err
	}
	return kind, data, nil
}

// checkContent returns ErrTooLarge or ErrLimit for content that would take too much memory to read.
func checkContent(data []byte) error {
	if len(data) > MaxContent {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxContent)
	}
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return CheckDepth(text)
	}
	return nil // not an object or array
}
