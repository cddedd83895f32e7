package choria

import "fmt"

// maxDepth is how deeply objects and arrays may be nested in a JSON text that a node or client sends.
// Facts have fewer than ten levels. Some JSON parsers call themselves for each level, and run out of
// memory at millions of levels, which compress to a few kilobytes.
const maxDepth = 200

// CheckDepth returns ErrLimit if objects and arrays in a JSON text are nested more deeply than maxDepth.
// It does not check that the text is JSON, and takes no memory.
func CheckDepth(text []byte) error {
	depth := 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '"':
			at += stringLength(text[at:]) - 1
		}
		if depth > maxDepth {
			return fmt.Errorf("%w: JSON with more than %d levels", ErrLimit, maxDepth)
		}
	}
	return nil
}

// stringLength returns the length of the JSON string at the beginning of text, with its quotation
// marks; that of the whole text if the string does not end.
func stringLength(text []byte) int {
	for at := 1; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++ // the escaped character
		case '"':
			return at + 1
		}
	}
	return len(text)
}
