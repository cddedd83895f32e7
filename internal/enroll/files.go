package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Who may read a file.
const (
	public fs.FileMode = 0o644
	secret fs.FileMode = 0o600 // keys: only the owner
	shared fs.FileMode = 0o640 // what the broker reads, where the directory has a group of its own
)

// file is one that is to be written.
type file struct {
	name string
	text string
	mode fs.FileMode
	// The broker reads it. In a directory that has a group of its own, as a package's has, the
	// service is in that group and owns nothing.
	brokers bool
}

type files []file

// write writes all files into a directory, or none where one is there already and may not
// be overwritten.
func (f files) write(dir string, may func(name string) bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, one := range f {
		path := filepath.Join(dir, one.name)
		if _, err := os.Lstat(path); err == nil && !may(one.name) {
			return fmt.Errorf("%s is there already; --force overwrites it", path)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, one := range f {
		if err := one.write(dir); err != nil {
			return err
		}
	}
	return nil
}

// write puts the file in its place whole, and readable for nobody else at any moment.
func (f file) write(dir string) error {
	temporary, err := os.CreateTemp(dir, f.name+".") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	mode := f.mode
	if group, has := groupOf(dir); f.brokers && has {
		mode, err = shared, temporary.Chown(-1, group)
	}
	if err == nil {
		_, err = temporary.WriteString(f.text)
	}
	if err == nil {
		err = temporary.Chmod(mode)
	}
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), filepath.Join(dir, f.name))
}

// groupOf is the group of a directory, where it is not root's and root writes there.
func groupOf(dir string) (group int, has bool) {
	info, err := os.Stat(dir)
	if err != nil || os.Getuid() != 0 {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return int(stat.Gid), ok && stat.Gid != 0
}
