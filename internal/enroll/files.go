package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Modes of the files.
const (
	public fs.FileMode = 0o644
	secret fs.FileMode = 0o600 // keys: readable by the owner only
	shared fs.FileMode = 0o640 // for the broker, if the directory belongs to the service's group
)

// file is a file to be written.
type file struct {
	name string
	text string
	mode fs.FileMode
	// forBroker means that the broker reads the file. A package gives its configuration directory
	// to the group of the service; there the file gets that group and the mode shared.
	forBroker bool
}

type files []file

// write writes all files into a directory, which it makes if needed. If one of them exists and may
// not be overwritten, it writes none.
func (f files) write(dir string, mayOverwrite func(name string) bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := f.check(dir, mayOverwrite); err != nil {
		return err
	}
	for _, one := range f {
		if err := one.write(dir); err != nil {
			return err
		}
	}
	return nil
}

// check returns an error if one of the files exists and may not be overwritten.
func (f files) check(dir string, mayOverwrite func(name string) bool) error {
	for _, one := range f {
		path := filepath.Join(dir, one.name)
		if _, err := os.Lstat(path); err == nil && !mayOverwrite(one.name) {
			return fmt.Errorf("%s exists already; --force overwrites it", path)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write writes the file under a temporary name and renames it, so that it is never incomplete and
// never readable with a wider mode than its own. It is on the disk before it has its name.
func (f file) write(dir string) error {
	temporary, err := os.CreateTemp(dir, f.name+".") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // gone already, if it was renamed
	mode := f.mode
	if group, has := serviceGroup(dir); f.forBroker && has {
		mode, err = shared, temporary.Chown(-1, group)
	}
	if err == nil {
		_, err = temporary.WriteString(f.text)
	}
	if err == nil {
		err = errors.Join(temporary.Chmod(mode), temporary.Sync())
	}
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), filepath.Join(dir, f.name)); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a directory durable, so that files which are written one after the other
// survive a power failure in that order.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// serviceGroup returns the group of a directory. has is false if that is root's group, or if the
// process is not root and cannot give files to a group.
func serviceGroup(dir string) (group int, has bool) {
	info, err := os.Stat(dir)
	if err != nil || os.Getuid() != 0 {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return int(stat.Gid), ok && stat.Gid != 0
}
