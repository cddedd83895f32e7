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

// Protocol ids of the bodies of registrations.
const (
	fileContent      = "choria:registration:filecontent:1"
	inventoryContent = "choria:registration:inventorycontent:1"
)

// What a Content is.
const (
	ContentFile      = "file"      // a file of the node, byte by byte
	ContentInventory = "inventory" // the node's inventory, a JSON object
	ContentBody      = "body"      // a body that is no registration, as it came
)

// Content is what a body carries, unpacked.
type Content struct {
	Kind    string
	Payload []byte
	File    string    // files: the path as the node has it configured
	Mtime   time.Time // files: when the node's file was last written
}

// registration is the body of either kind. Content is base64 text for files and the
// JSON object itself for inventories, whatever the published schema says.
type registration struct {
	Mtime    int64           `json:"mtime,omitempty"`
	File     string          `json:"file,omitempty"`
	Updated  *bool           `json:"updated,omitempty"`
	Protocol string          `json:"protocol"`
	Content  json.RawMessage `json:"content,omitempty"`
	ZContent string          `json:"zcontent,omitempty"`
}

// Unpack takes the file or inventory out of a registration's body, decompressed. Any other
// body comes back as it is. What would unpack to more than limit bytes is ErrTooLarge,
// and no more than that is ever held.
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

// gunzip decompresses at most limit bytes.
func gunzip(compressed []byte, limit int64) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("%w: registration zcontent: %w", ErrMalformed, err)
	}
	content, err := io.ReadAll(io.LimitReader(reader, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: registration zcontent: %w", ErrMalformed, err)
	}
	return content, checkSize(int64(len(content)), limit)
}

func checkSize(size, limit int64) error {
	if size > limit {
		return fmt.Errorf("%w: registration unpacks to more than %d bytes", ErrTooLarge, limit)
	}
	return nil
}

// FileBody is the body with which a node registers the content of a file.
// Schema: https://choria.io/schemas/choria/registration/v1/filecontent.json.
func FileBody(path string, mtime time.Time, updated bool, content []byte, compress bool) ([]byte, error) {
	r := registration{Mtime: mtime.Unix(), File: path, Updated: &updated, Protocol: fileContent}
	if compress {
		r.ZContent = gzipped(content)
		return json.Marshal(r)
	}
	text, err := json.Marshal(base64.StdEncoding.EncodeToString(content))
	if err != nil {
		return nil, err
	}
	r.Content = text
	return json.Marshal(r)
}

// InventoryBody is the body with which a node registers its inventory, a JSON object.
// Schema: https://choria.io/schemas/choria/registration/v1/inventorycontent.json.
func InventoryBody(inventory []byte, compress bool) ([]byte, error) {
	r := registration{Protocol: inventoryContent}
	if compress {
		r.ZContent = gzipped(inventory)
	} else {
		r.Content = inventory
	}
	return json.Marshal(r)
}

// gzipped is base64 of the compressed content. Writing to memory cannot fail.
func gzipped(content []byte) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
