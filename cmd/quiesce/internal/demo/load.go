package demo

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/page"
	"quiesce/rcuhash"
)

const (
	defaultLimit = 256 << 20
	nodeBytes    = 160 // of a record, its links and its part of the buckets, without the path
)

// walk collects the regular files below the job's directory, by path.
func (j *job) walk(ctx context.Context) error {
	info, err := os.Stat(j.cfg.Dir)
	switch {
	case j.cfg.Dir == "":
		return kit.BadInput("no directory given")
	case errors.Is(err, fs.ErrNotExist):
		return kit.BadInput("%s does not exist", j.cfg.Dir)
	case err != nil:
		return kit.BadInput("%v", err)
	case !info.IsDir():
		return kit.BadInput("%s is not a directory", j.cfg.Dir)
	}
	// WalkDir does not follow a symbolic link, not even one that it is given.
	if j.root, err = filepath.EvalSymlinks(j.cfg.Dir); err != nil {
		return kit.BadInput("%v", err)
	}
	last := time.Now()
	err = filepath.WalkDir(j.root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		if err != nil { // of a directory that can't be read
			if path == j.root {
				return err
			}
			j.rep.FilesUnreadable++
			return nil
		}
		switch {
		case d.IsDir():
		case !d.Type().IsRegular():
			j.rep.NotRegular++
		default:
			rel, err := filepath.Rel(j.root, path)
			if err != nil {
				return err
			}
			j.found = append(j.found, rel)
			j.keyBytes += int64(len(rel))
		}
		if now := time.Now(); now.Sub(last) > 100*time.Millisecond {
			last = now
			j.progress.Report(j.walked())
		}
		return nil
	})
	switch {
	case err != nil:
		return kit.BadInput("%v", err)
	case ctx.Err() != nil:
		return nil
	case len(j.found) == 0:
		return kit.BadInput("%s has no regular file", j.cfg.Dir)
	}
	j.progress.Report(j.walked())
	return nil
}

// limit is the configured one or a default that leaves ample room.
func (j *job) limit() int64 {
	if j.cfg.Limit > 0 {
		return j.cfg.Limit
	}
	return max(defaultLimit, 4*(int64(len(j.found))*nodeBytes+j.keyBytes))
}

// open makes the allocator and the map.
func (j *job) open() (err error) {
	if j.pages, err = page.New(page.Config{Name: "demo", Limit: j.limit()}); err != nil {
		return kit.BadInput("%v", err)
	}
	if j.files, err = rcuhash.New[string, record](max(len(j.found), leastFiles), rcuhash.WithAllocator(j.pages)); err != nil {
		j.pages.Close()
		return kit.BadInput("a limit of %d bytes is too small for %d files: %v", j.limit(), len(j.found), err)
	}
	// A raw atomic context can't make a size class.
	lens := map[int]bool{}
	for _, p := range j.found {
		if !lens[len(p)] {
			lens[len(p)] = true
			if err := j.files.Prepare(len(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// loaders is the number of goroutines that read files: some wait for the disk.
func loaders() int { return min(4*runtime.GOMAXPROCS(0), 32) }

// load reads every file that walk found and puts its record into the map.
// Those that can be read become the job's entries, in walk's order.
func (j *job) load(ctx context.Context) error {
	start := time.Now()
	loaded := make([]bool, len(j.found))
	var next, done, unreadable, bytes atomic.Int64
	var full atomic.Bool
	finished := make(chan struct{})
	go func() {
		var wg sync.WaitGroup
		for range min(loaders(), len(j.found)) {
			wg.Go(func() {
				buf := make([]byte, 64<<10)
				for ctx.Err() == nil && !full.Load() {
					i := int(next.Add(1)) - 1
					if i >= len(j.found) {
						return
					}
					r, err := readFile(ctx, filepath.Join(j.root, j.found[i]), buf)
					switch {
					case ctx.Err() != nil:
						return
					case err != nil:
						unreadable.Add(1)
					default:
						r.tag = tagOf(j.found[i])
						r.seal()
						if !j.files.PutFlags(j.found[i], r, mayWait) {
							full.Store(true)
							return
						}
						loaded[i] = true
						bytes.Add(r.size)
					}
					done.Add(1)
				}
			})
		}
		wg.Wait()
		close(finished)
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-finished:
			running = false
		case <-tick.C:
		}
		n := int(done.Load())
		j.progress.Report(Load.step(n, len(j.found), fmt.Sprintf("loading %s of %s files of %s", kit.Count(n), kit.Count(len(j.found)), j.cfg.Dir)))
	}
	j.rep.FilesUnreadable += int(unreadable.Load())
	j.rep.ContentBytes = bytes.Load()
	j.rep.LoadS = time.Since(start).Seconds()
	for i, ok := range loaded {
		if ok {
			j.rep.Files++
			j.found[j.rep.Files-1] = j.found[i]
		}
	}
	j.entries = make([]entry, j.rep.Files)
	for i := range j.entries {
		j.entries[i].path, j.entries[i].tag = j.found[i], tagOf(j.found[i])
	}
	j.found = nil
	switch {
	case full.Load():
		return kit.BadInput("the limit of %d bytes is too small: it was full after %d of %d files", j.limit(), j.rep.Files, len(loaded))
	case ctx.Err() == nil && j.rep.Files == 0:
		return kit.BadInput("%s has no file that can be read: all %d failed", j.cfg.Dir, j.rep.FilesUnreadable)
	}
	return nil
}

// readFile returns a file's facts. It gives up when ctx ends.
func readFile(ctx context.Context, path string, buf []byte) (r record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		r.sum = crc32.Update(r.sum, castagnoli, buf[:n])
		r.size += int64(n) // what the checksum is of
		if err == io.EOF {
			break
		}
		if err != nil {
			return r, err
		}
	}
	r.mtime, r.mode = info.ModTime().UnixNano(), uint32(info.Mode())
	return r, ctx.Err()
}

// walked says how many files were found by now.
func (j *job) walked() kit.Step {
	return Walk.step(len(j.found), 0, fmt.Sprintf("looking for files in %s: %s", j.cfg.Dir, kit.Count(len(j.found))))
}
