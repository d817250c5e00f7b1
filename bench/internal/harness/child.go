package harness

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

// RunChild runs a process that measures, and returns the figures that it
// printed, of which one has the name that must be there.
func RunChild(ctx context.Context, timeout time.Duration, must, file string, args ...string) (Figures, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no result after %v", timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, file, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if line := FirstLine(errs.String()); line != "" {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		return nil, err
	}
	return ParseFigures(out.String(), must)
}

// Interrupted reports, after a child failed, whether the user interrupted it.
// The terminal's Ctrl-C reaches the child too, maybe first.
func Interrupted(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}
