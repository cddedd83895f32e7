package choria

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/tidwall/gjson"
)

// Digester computes digests of stored registrations. Its zero value is ready to use. It keeps its memory for the next
// digest, and is not safe for concurrent use.
type Digester struct {
	unpacker unpacker
	hash     hash.Hash
	buffer   []byte // not yet hashed
}

// Digest returns a digest like Digester.Digest.
func Digest(kind string, data []byte, volatile Volatile) ([sha256.Size]byte, error) {
	var d Digester
	return d.Digest(kind, data, volatile)
}

// Digest returns a hash of the content of a stored registration; the arguments are those of UnpackStored. It is equal
// for two registrations whose content differs only in volatile facts, or in what a Choria server writes anew in each
// registration: request ids and times, and in an inventory how long the server has run and its statistics. An object
// that has only volatile facts counts as absent, as it does in a list of changed facts. Another order of keys, or
// other white space, makes another digest: servers do not vary them. The path of a file is not a part of the digest.
//
// The error says why the content cannot be read; it wraps the same ones as that of UnpackStored.
func (d *Digester) Digest(kind string, data []byte, volatile Volatile) (digest [sha256.Size]byte, err error) {
	kind, data, err = d.unpacker.readStored(kind, data)
	if err != nil {
		return digest, err
	}
	if d.hash == nil {
		d.hash = sha256.New()
	}
	d.hash.Reset()
	d.buffer = append(append(d.buffer[:0], kind...), '\n')
	valid := gjson.ValidBytes(data)
	content := gjson.ParseBytes(data)
	switch {
	case kind == ContentInventory && (!valid || !content.IsObject() && content.Type != gjson.Null):
		return digest, fmt.Errorf("%w: the inventory is not a JSON object", ErrMalformed)
	case kind == ContentInventory && content.IsObject():
		d.inventory(content, volatile)
	case valid && content.IsObject():
		d.add(nil, "", content, volatile)
	default:
		d.buffer = append(d.buffer, data...)
	}
	d.flush()
	d.hash.Sum(digest[:0])
	return digest, nil
}

// newStatus returns the paths in the status of a server that have other values in each inventory that it registers.
func newStatus() Volatile { return Volatile{"uptime", "last_message", "stats"} }

// inventory adds what a server registers with the plugin inventory_content.
func (d *Digester) inventory(inventory gjson.Result, volatile Volatile) {
	inventory.ForEach(func(key, value gjson.Result) bool {
		switch key.String() {
		case "facts":
			d.add([]byte(key.Raw), "", value, volatile)
		case "status":
			d.add([]byte(key.Raw), "", value, newStatus())
		default:
			d.addValue([]byte(key.Raw), value)
		}
		return true
	})
}

// add adds the value at a path, without what is volatile. names has the names around the value, as JSON.
func (d *Digester) add(names []byte, path string, value gjson.Result, volatile Volatile) {
	if path != "" && volatile.Contains(path) {
		return
	}
	whole := true // value is added as one
	if value.IsObject() && (path == "" || volatile.containsBelow(path)) {
		whole = path != "" // an empty object is a value, but no facts are nothing
		value.ForEach(func(key, member gjson.Result) bool {
			whole = false
			memberPath := key.String()
			if path != "" {
				memberPath = path + "." + memberPath
			}
			d.add(append(names, key.Raw...), memberPath, member, volatile)
			return true
		})
	}
	if whole {
		d.addValue(names, value)
	}
}

// addValue adds a value with everything in it, and the names around it. What is hashed stands for exactly one set of
// values: names are JSON strings, a colon ends them, and a semicolon ends a value.
func (d *Digester) addValue(names []byte, value gjson.Result) {
	d.buffer = append(d.buffer, names...)
	d.buffer = append(d.buffer, ':')
	d.buffer = append(d.buffer, value.Raw...)
	d.buffer = append(d.buffer, ';')
	if len(d.buffer) >= 4<<10 {
		d.flush()
	}
}

// flush hashes the buffer.
func (d *Digester) flush() {
	_, _ = d.hash.Write(d.buffer) // it never returns an error
	d.buffer = d.buffer[:0]
}
