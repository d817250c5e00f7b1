package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// order is what the parent asks of a child (see [kit.Ask]). The last of the
// child's messages has the result.
type order struct {
	Scenario string  `json:"scenario"`
	Params   string  `json:"params"`
	Seed     uint64  `json:"seed"`
	LengthS  float64 `json:"length_s"`
}

type message struct {
	Status *Status `json:"status,omitempty"`
	Result *Result `json:"result,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// Child is the other end of Run: it carries out one order. It returns the
// process's exit status.
func Child(in io.Reader, out, errs io.Writer) int {
	var mu sync.Mutex
	enc := json.NewEncoder(out)
	say := func(m message) {
		mu.Lock()
		defer mu.Unlock()
		enc.Encode(m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watchdog := make(chan time.Duration, 1)
	var o order
	err := kit.Receive(in, &o, func() {
		cancel()
		// The parent may be gone for good, and this process stuck.
		time.Sleep(4 * <-watchdog)
		os.Exit(1)
	})
	p := defaults()
	if err == nil {
		err = p.set(o.Params)
	}
	watchdog <- seconds(p.watchdog)
	if err == nil && (p.preemptRT != preempt.RT() || !p.membarrier && sys.HasMembarrier()) {
		err = fmt.Errorf("scenario %s needs QUIESCE=%q in its environment, which has %q", o.Scenario, p.options(), os.Getenv("QUIESCE"))
	}
	var s *session
	if err == nil {
		s, err = newSession(o.Scenario, p, o.Seed, seconds(o.LengthS), errs)
	}
	if err != nil {
		say(message{Error: err.Error()})
		return 1
	}
	res := s.run(ctx, func(st Status) { say(message{Status: &st}) })
	say(message{Result: res})
	return 0
}
