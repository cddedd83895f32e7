package privatestream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// errAmbiguous is returned for JSON that JetStream may read in another way than this package does.
var errAmbiguous = errors.New("a name occurs twice, is not ASCII, or something follows the object")

// checkUnambiguous returns an error unless the data is one JSON object whose names differ without regard to case.
// JetStream ignores the case of names, reads several values after one another, and merges what occurs twice; it
// also takes some letters that are not ASCII for others. The names in metadata are the client's own.
func checkUnambiguous(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return errors.Join(err, errAmbiguous)
	}
	if err := checkObject(d); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errAmbiguous
	}
	return nil
}

// checkObject reads an object after its first brace.
func checkObject(d *json.Decoder) error {
	names := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		folded := strings.ToLower(name)
		if names[folded] || !isASCII(name) {
			return errAmbiguous
		}
		names[folded] = true
		if folded == "metadata" {
			err = d.Decode(new(json.RawMessage))
		} else {
			err = checkValue(d)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// checkValue reads a value.
func checkValue(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil || token != json.Delim('{') && token != json.Delim('[') {
		return err
	}
	if token == json.Delim('{') {
		return checkObject(d)
	}
	for d.More() {
		if err := checkValue(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 0x7f }) < 0
}
