package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"quiesce/cmd/quiesced/internal/item"
)

// A state is a file with the items. Its methods are the main goroutine's.
type state struct {
	name  string // "": there is none
	store *item.Store
	log   *slog.Logger
}

// load adds the items of the file, if it is there.
func (s *state) load() error {
	if s.name == "" {
		return nil
	}
	f, err := os.Open(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	start := time.Now()
	if err := s.store.Load(f); err != nil {
		return fmt.Errorf("%s: %w; move it away to start without it", s.name, err)
	}
	s.log.Info("state read", "file", s.name, "items", s.store.Len(), "took", time.Since(start))
	return nil
}

// save replaces the file, at once: whoever reads it has the old one or the new one,
// whole.
func (s *state) save() (err error) {
	if s.name == "" {
		return nil
	}
	defer func() {
		if err != nil {
			s.log.Error("state not written", "file", s.name, "error", err)
		}
	}()
	start := time.Now()
	f, err := os.CreateTemp(filepath.Dir(s.name), filepath.Base(s.name)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when it has been renamed
	err = s.store.Save(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.name); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(s.name)); err != nil {
		return err
	}
	s.log.Info("state written", "file", s.name, "took", time.Since(start))
	return nil
}

// syncDir makes a rename last.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}
