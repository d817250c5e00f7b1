// Command quiesced is a memcached server with its items off Go's heap. Clients of
// memcached use it as they are.
//
//	quiesced -m 1024
//
// docs/guide/quiesced.md says how to run it, and what differs from memcached.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesced/internal/server"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Print(o.help())
		return exitOK
	case err != nil:
		fmt.Fprintf(os.Stderr, "quiesced: %v (see quiesced -h)\n", err)
		return exitUsage
	case o.version:
		fmt.Println("quiesced, which speaks the protocol of memcached", server.Version)
		return exitOK
	}
	if err := serve(o); err != nil {
		fmt.Fprintf(os.Stderr, "quiesced: %v\n", err)
		return exitFailed
	}
	return exitOK
}
