package config

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Secret is a text that is never shown. The file holds the text itself, or "file:PATH" or
// "credential:NAME" for the content of a file without the line feeds at its end. A secret that
// consists of blanks is refused, and so is such a file: an empty secret turns off what it protects.
func Secret(into *string) Value { return secretValue{into} }

type secretValue struct{ into *string }

func (v secretValue) set(found any) error {
	s, ok := found.(string)
	if !ok {
		return errors.New(`expected a secret as text in quotes, or "file:PATH"`)
	}
	path, isFile := strings.CutPrefix(s, "file:")
	if name, isCredential := strings.CutPrefix(s, credentialPrefix); isCredential {
		var err error
		if path, err = credential(name); err != nil {
			return err
		}
		isFile = true
	}
	if !isFile {
		if s != "" && strings.TrimSpace(s) == "" {
			return errors.New("the secret consists of blanks; write one that is not, or remove the key")
		}
		*v.into = s
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the secret: %w", err)
	}
	if strings.TrimSpace(string(content)) == "" {
		return fmt.Errorf("%s is empty; write the secret into it, or remove the key", path)
	}
	*v.into = strings.TrimRight(string(content), "\r\n")
	return nil
}

func (v secretValue) String() string {
	if *v.into == "" {
		return `""`
	}
	return `"…"`
}

// BoolOr is true or false, or the given word. The text is set to "true", "false" or the word.
func BoolOr(word string, into *string) Value { return boolOrValue{word, into} }

type boolOrValue struct {
	word string
	into *string
}

func (v boolOrValue) set(found any) error {
	b, isBool := found.(bool)
	switch {
	case isBool:
		*v.into = strconv.FormatBool(b)
	case found == v.word:
		*v.into = v.word
	default:
		return fmt.Errorf("expected true or false without quotes, or %q, found %s", v.word, show(found))
	}
	return nil
}

func (v boolOrValue) String() string {
	if *v.into == v.word {
		return strconv.Quote(v.word)
	}
	return *v.into
}

// UnusedKey is a key of another program that has no meaning here. hint says what to do instead.
func UnusedKey(hint string) Value { return unusedKey{hint} }

type unusedKey struct{ hint string }

func (v unusedKey) set(any) error  { return errors.New(v.hint) }
func (v unusedKey) String() string { return "" }
