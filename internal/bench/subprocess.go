package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end once it is asked to.
const stopTimeout = time.Minute

// ready is the line that a process writes to standard output once it does what it was started
// for.
const ready = "ready"

// Subprocess runs this program as other processes. Their standard error goes to Stderr.
type Subprocess struct{ Stderr io.Writer }

// command returns a process that has not started. When the context is done it is asked to
// end, and killed after stopTimeout.
func (p Subprocess) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = p.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	return cmd, nil
}

// output runs a process to its end and returns its standard output.
func (p Subprocess) output(ctx context.Context, args ...string) (io.Reader, error) {
	cmd, err := p.command(ctx, args...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	return &out, cmd.Run()
}

// start starts a process and waits until it reports that it is ready. The caller cancels the
// context and calls Wait.
func (p Subprocess) start(ctx context.Context, args ...string) (*exec.Cmd, error) {
	cmd, err := p.command(ctx, args...)
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != ready {
		return nil, errors.Join(fmt.Errorf("%s did not become ready", strings.Join(args[:3], " ")), cmd.Wait())
	}
	return cmd, nil
}
