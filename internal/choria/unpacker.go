package choria

import (
	"bytes"
	"compress/gzip"
	"fmt"
)

// unpacker reads stored registrations. It keeps its memory for the next one, so what it returns is valid until then.
// Most registrations have the form in which Choria servers and adapters write them; the unpacker scans that form, as
// fast.go does for requests, and leaves every other one to readStored. Fuzzers compare the two.
type unpacker struct {
	body       []byte
	compressed []byte
	content    []byte
	reader     gzip.Reader
}

// readStored is like the function of this name.
func (u *unpacker) readStored(kind string, data []byte) (contentKind string, content []byte, err error) {
	if kind != "" {
		return readStored(kind, data)
	}
	if kind = u.scan(data); kind == "" {
		return readStored("", data)
	}
	if err := u.reader.Reset(bytes.NewReader(u.compressed)); err != nil {
		return "", nil, fmt.Errorf("%w: registration zcontent: %w", ErrMalformed, err)
	}
	content, err = readUnpacked(u.content[:0], &u.reader, MaxContent)
	if err != nil {
		return "", nil, err
	}
	u.content = content
	if err := checkContent(content); err != nil {
		return kind, nil, err
	}
	return kind, content, nil
}

// scan scans an output, up to the compressed content. It returns the kind of the content; empty: the output has
// another form.
func (u *unpacker) scan(output []byte) (kind string) {
	var ok bool
	if u.body, ok = scanOutput(u.body[:0], output); !ok {
		return ""
	}
	c := cursor{text: u.body}
	kind = ContentInventory
	c.literal(`{"`)
	if bytes.HasPrefix(c.text, []byte(`mtime`)) {
		kind = ContentFile
		c.literal(`mtime":`)
		mtime := c.number()
		c.literal(`,"file":"`)
		c.plainString()
		c.literal(`,"updated":`)
		if bytes.HasPrefix(c.text, []byte("t")) {
			c.literal("true")
		} else {
			c.literal("false")
		}
		c.literal(`,"protocol":"` + fileContent)
		if mtime > maxSeconds {
			c.fail()
		}
	} else {
		c.literal(`protocol":"` + inventoryContent)
	}
	c.literal(`","zcontent":"`)
	u.compressed = c.base64(u.compressed[:0])
	c.literal("}")
	c.end()
	if c.failed || len(u.compressed) == 0 {
		return ""
	}
	return kind
}

// scanOutput appends the body of the message in an output, like OutputBody. ok is false if the output has another form
// than AppendOutput writes.
func scanOutput(into, output []byte) (body []byte, ok bool) {
	c := cursor{text: output}
	c.literal(`{"protocol":"` + outputProtocol + `","data":"`)
	into = c.quotedString(into)
	for _, key := range []string{`,"sender":"`, `,"time":"`, `,"requestid":"`} {
		c.literal(key)
		c.plainString()
	}
	c.literal("}")
	c.end()
	return into, !c.failed
}
