package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/inspect"
)

const (
	// DefaultAddress is where programs serve debug pages by habit.
	DefaultAddress = "127.0.0.1:6060"

	pagePath     = "/debug/quiesce/"
	documentName = "snapshot.json"

	// maxDocument is far more than a process of ten thousand slab caches answers.
	maxDocument = 64 << 20
)

// Source is a process's page.
type Source struct {
	Page   string // its address, as short as it can be given
	url    string // of its snapshot
	client http.Client
}

// NewSource returns the Source of an address: host:port, or the page's URL.
func NewSource(address string) (*Source, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, kit.BadInput("%s is no address: want host:port or a URL", address)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, kit.BadInput("%s: want a URL of http or https", address)
	}
	if u.Host == "" || u.Port() == "" && strings.HasSuffix(u.Host, ":") {
		return nil, kit.BadInput("%s has no host and port", address)
	}
	u.Path = strings.TrimSuffix(u.Path, documentName)
	if u.Path == "" || u.Path == "/" {
		u.Path = pagePath
	} else if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	s := &Source{Page: u.Redacted()}
	if u.Scheme == "http" && u.Path == pagePath && u.User == nil && u.RawQuery == "" {
		s.Page = u.Host
	}
	u.Path += documentName
	s.url = u.String()
	return s, nil
}

// Read asks for a snapshot, for at most some seconds.
func (s *Source) Read(ctx context.Context) (state *inspect.State, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		var inURL *url.Error
		if errors.As(err, &inURL) {
			err = inURL.Err // without the URL, which the screen has
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer in 5 s")
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: is inspect.Handler there?", answer.Status)
	}
	state = new(inspect.State)
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxDocument)).Decode(state); err != nil {
		return nil, fmt.Errorf("what answers is no page of inspect.Handler: %w", err)
	}
	if state.Time.IsZero() {
		return nil, errors.New("what answers is no page of inspect.Handler")
	}
	return state, nil
}
