//go:build !linux

package host

import "errors"

// Backlog returns errors.ErrUnsupported: it is implemented for Linux only.
func Backlog() (uint64, error) { return 0, errors.ErrUnsupported }

// Tracked returns errors.ErrUnsupported: it is implemented for Linux only.
func Tracked() (uint64, error) { return 0, errors.ErrUnsupported }

// ClockSynced returns errors.ErrUnsupported: it is implemented for Linux only.
func ClockSynced() (bool, error) { return false, errors.ErrUnsupported }
