package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/muster-appliance/muster/internal/appliance"
)

// editConfig replaces the text of a configuration file by after, if that is valid and has what the operator wants. It
// reports false if it is not, or has not; an operator must then edit the file.
func editConfig(file, after string, has func(*appliance.Config) bool) (done bool, err error) {
	changed, err := appliance.Parse(file, []byte(after))
	if err != nil || !has(changed) {
		return false, nil //nolint:nilerr // an operator must edit the file
	}
	return true, replaceFile(file, after)
}

// anyHeader matches the begin of the header of a table.
var anyHeader = regexp.MustCompile(`(?m)^[ \t]*\[`)

// tableHeader matches the header of a table of a configuration file.
func tableHeader(table string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\[` + regexp.QuoteMeta(table) + `\][ \t]*(#.*)?\n`)
}

// addLine returns the text of a configuration with a line more, at the begin of a table. It reports false if the text
// does not have the table's header.
func addLine(text, table, line string) (after string, has bool) {
	header := tableHeader(table).FindStringIndex(text)
	if header == nil {
		return text, false
	}
	return text[:header[1]] + line + "\n" + text[header[1]:], true
}

// removeLine returns the text of a configuration without the line of a key of a table.
func removeLine(text, table, key string) string {
	line := regexp.MustCompile(`(?m)^[ \t]*"?` + regexp.QuoteMeta(key) + `"?[ \t]*=.*\n`)
	header := tableHeader(table).FindStringIndex(text)
	if header == nil {
		return text
	}
	lines := text[header[1]:]
	if next := anyHeader.FindStringIndex(lines); next != nil {
		lines = lines[:next[0]]
	}
	at := line.FindStringIndex(lines)
	if at == nil {
		return text
	}
	return text[:header[1]+at[0]] + text[header[1]+at[1]:]
}

// replaceFile replaces the content of a file at once, and keeps its mode and its group.
func replaceFile(file, text string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(next.Name()) }() // gone already, if it was renamed
	_, err = next.WriteString(text)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && err == nil && os.Getuid() == 0 {
		err = next.Chown(int(stat.Uid), int(stat.Gid))
	}
	if err == nil {
		err = next.Chmod(info.Mode() & fs.ModePerm)
	}
	if err == nil {
		err = next.Sync()
	}
	if closed := next.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), file)
}
