//go:build !linux

package host

import "errors"

// Backlog cannot be found out here, and neither can what follows.
func Backlog() (uint64, error) { return 0, errors.ErrUnsupported }

func Tracked() (uint64, error) { return 0, errors.ErrUnsupported }

func ClockKept() (bool, error) { return false, errors.ErrUnsupported }
