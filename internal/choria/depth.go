package choria

import (
	"bytes"
	"fmt"
)

// maxDepth is how deeply objects and arrays may be nested in a JSON text that a node or client sends.
// Facts have fewer than ten levels. Some JSON parsers call themselves for each level, and run out of
// memory at millions of levels, which compress to a few kilobytes.
const maxDepth = 200

// CheckDepth returns ErrLimit if objects and arrays in a JSON text are nested more deeply than maxDepth.
// It does not check that the text is JSON, and takes no memory.
func CheckDepth(text []byte) error {
	for depth := 0; ; {
		at := bytes.IndexAny(text, `[]{}"`)
		if at < 0 {
			return nil
		}
		switch text[at] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		default:
			at += stringLength(text[at:]) - 1
		}
		if depth > maxDepth {
			return fmt.Errorf("%w: JSON with more than %d levels", ErrLimit, maxDepth)
		}
		text = text[at+1:]
	}
}

// stringLength returns the length of the JSON string at the beginning of text, with its quotation
// marks; that of the whole text if the string does not end.
func stringLength(text []byte) int {
	for at := 1; at < len(text); at++ {
		next := bytes.IndexAny(text[at:], `"\`)
		if next < 0 {
			break
		}
		if at += next; text[at] == '"' {
			return at + 1
		}
		at++ // the escaped character
	}
	return len(text)
}
