package choria

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Protocol ids in the body of a registration.
const (
	fileContent      = "choria:registration:filecontent:1"
	inventoryContent = "choria:registration:inventorycontent:1"
)

// Kinds of Content.
const (
	ContentFile      = "file"      // the bytes of a file on the node
	ContentInventory = "inventory" // the node's inventory, a JSON object
	ContentBody      = "body"      // any other body, unchanged
)

// Content is the unpacked payload of a body.
type Content struct {
	Kind    string
	Payload []byte
	File    string    // files: the path in the node's configuration
	Mtime   time.Time // files: the modification time, UTC, in whole seconds
}

// registration is the body of a registration. Content is a base64 string for files and a JSON
// object for inventories; the published schema of inventories differs from what servers send.
type registration struct {
	Mtime    int64           `json:"mtime,omitempty"` // Unix seconds
	File     string          `json:"file,omitempty"`
	Updated  *bool           `json:"updated,omitempty"` // the file has changed since the last registration
	Protocol string          `json:"protocol"`
	Content  json.RawMessage `json:"content,omitempty"`
	ZContent string          `json:"zcontent,omitempty"` // base64 of the gzipped content
}

// Unpack decodes and decompresses the file or inventory in the body of a registration. It returns
// a copy of any other body. The error wraps ErrMalformed, ErrSchema, ErrNotUTF8, or ErrTooLarge if
// the content is larger than limit bytes; no more than limit+1 bytes are decompressed.
func Unpack(body []byte, limit int64) (Content, error) {
	var r registration
	if json.Unmarshal(body, &r) != nil || r.Protocol != fileContent && r.Protocol != inventoryContent {
		return Content{Kind: ContentBody, Payload: bytes.Clone(body)}, nil
	}
	c := Content{Kind: ContentInventory}
	if r.Protocol == fileContent {
		if r.Mtime < 0 || r.Mtime > maxSeconds {
			return Content{}, schemaError("registration", "mtime is not between 1970 and 9999")
		}
		c = Content{Kind: ContentFile, File: r.File, Mtime: time.Unix(r.Mtime, 0).UTC()}
	}
	var err error
	c.Payload, err = r.payload(limit)
	return c, err
}

func (r *registration) payload(limit int64) ([]byte, error) {
	switch {
	case r.ZContent != "":
		compressed, err := decodeBase64("registration zcontent", r.ZContent)
		if err != nil {
			return nil, err
		}
		return gunzip(compressed, limit)
	case r.Protocol == inventoryContent:
		return inventoryObject(r.Content, limit)
	default:
		return fileBytes(r.Content, limit)
	}
}

func inventoryObject(content json.RawMessage, limit int64) ([]byte, error) {
	if len(content) == 0 || content[0] != '{' {
		return nil, schemaError("registration", "content is not an object")
	}
	return content, checkSize(int64(len(content)), limit)
}

func fileBytes(content json.RawMessage, limit int64) ([]byte, error) {
	if len(content) == 0 { // an empty file
		return nil, nil
	}
	var text string
	if err := decodeJSON("registration content", content, &text); err != nil {
		return nil, err
	}
	decoded, err := decodeBase64("registration content", text)
	if err != nil {
		return nil, err
	}
	return decoded, checkSize(int64(len(decoded)), limit)
}

// gunzip decompresses up to limit bytes.
func gunzip(compressed []byte, limit int64) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("%w: registration zcontent: %w", ErrMalformed, err)
	}
	return readUnpacked(nil, reader, limit)
}

// readUnpacked appends up to limit+1 bytes that a reader unpacks.
func readUnpacked(into []byte, reader io.Reader, limit int64) ([]byte, error) {
	content := bytes.NewBuffer(into)
	if _, err := content.ReadFrom(io.LimitReader(reader, limit+1)); err != nil {
		return nil, fmt.Errorf("%w: registration zcontent: %w", ErrMalformed, err)
	}
	return content.Bytes(), checkSize(int64(content.Len()), limit)
}

func checkSize(size, limit int64) error {
	if size > limit {
		return fmt.Errorf("%w: the registration unpacks to more than %d bytes", ErrTooLarge, limit)
	}
	return nil
}

// FileBody encodes the body with which a node registers the content of a file. updated says that
// the file has changed since the last registration. The schema is
// https://choria.io/schemas/choria/registration/v1/filecontent.json.
func FileBody(path string, mtime time.Time, updated bool, content []byte, compress bool) ([]byte, error) {
	r := registration{Mtime: mtime.Unix(), File: path, Updated: &updated, Protocol: fileContent}
	if compress {
		r.ZContent = gzipBase64(content)
		return json.Marshal(r)
	}
	text, err := json.Marshal(base64.StdEncoding.EncodeToString(content))
	if err != nil {
		return nil, err
	}
	r.Content = text
	return json.Marshal(r)
}

// InventoryBody encodes the body with which a node registers its inventory, a JSON object. The
// schema is
// https://choria.io/schemas/choria/registration/v1/inventorycontent.json.
func InventoryBody(inventory []byte, compress bool) ([]byte, error) {
	r := registration{Protocol: inventoryContent}
	if compress {
		r.ZContent = gzipBase64(inventory)
	} else {
		r.Content = inventory
	}
	return json.Marshal(r)
}

// gzipBase64 returns the base64 of the compressed content. Writes to a bytes.Buffer cannot fail.
func gzipBase64(content []byte) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
