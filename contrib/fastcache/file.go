package fastcache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A file is fileMagic, the cache's maxBytes in 8 bytes, and what cache.Bytes.Save writes,
// which ends in a checksum.
const fileMagic = "quiesce fastcache 1\n"

// SaveToFile writes the cache to a file, whole or not at all, and makes the directory
// that it is in. The cache may be used meanwhile.
func (c *Cache) SaveToFile(filePath string) (err error) {
	dir := filepath.Dir(filePath)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("fastcache: SaveToFile: %w", err)
	}
	f, err := os.CreateTemp(dir, "fastcache.tmp.")
	if err != nil {
		return fmt.Errorf("fastcache: SaveToFile: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("fastcache: SaveToFile: %w", err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	w.Write(binary.LittleEndian.AppendUint64([]byte(fileMagic), uint64(c.maxBytes))) // Flush has its error
	if err := errors.Join(c.b.Save(w), w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if isFastcaches(filePath) {
		if err := os.RemoveAll(filePath); err != nil {
			return err
		}
	}
	return os.Rename(f.Name(), filePath)
}

// isFastcaches reports whether the path is a directory that fastcache has made.
func isFastcaches(path string) bool {
	dir, err := os.Lstat(path)
	if err != nil || !dir.IsDir() {
		return false
	}
	_, err = os.Stat(filepath.Join(path, "metadata.bin"))
	return err == nil
}

// SaveToFileConcurrent is SaveToFile. One goroutine writes the file, whatever the
// concurrency.
func (c *Cache) SaveToFileConcurrent(filePath string, _ int) error { return c.SaveToFile(filePath) }

// LoadFromFile makes a cache from a file that SaveToFile has written, with the maxBytes
// of the cache that was saved.
func LoadFromFile(filePath string) (*Cache, error) { return load(filePath, 0) }

// LoadFromFileMaxBytes is LoadFromFile. It is an error if the cache that was saved had
// another maxBytes.
func LoadFromFileMaxBytes(filePath string, maxBytes int) (*Cache, error) {
	return load(filePath, maxBytes)
}

// LoadFromFileOrNew is LoadFromFileMaxBytes, or New if that is an error.
func LoadFromFileOrNew(filePath string, maxBytes int) *Cache {
	if c, err := load(filePath, maxBytes); err == nil {
		return c
	}
	return New(maxBytes)
}

func load(filePath string, maxBytes int) (*Cache, error) {
	c, err := read(filePath, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("fastcache: LoadFromFile: %w", err)
	}
	return c, nil
}

func read(filePath string, maxBytes int) (*Cache, error) {
	f, err := os.Open(filePath)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, len(fileMagic)+8)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(fileMagic)]) != fileMagic {
		return nil, fmt.Errorf("%s is not a file of SaveToFile's (%v)", filePath, err)
	}
	had := binary.LittleEndian.Uint64(head[len(fileMagic):])
	if had < leastBytes || had > 1<<40 {
		return nil, fmt.Errorf("%s: a cache of %d bytes", filePath, had)
	}
	if maxBytes > 0 && max(maxBytes, leastBytes) != int(had) {
		return nil, fmt.Errorf("%s: the cache has %d bytes, want %d", filePath, had, maxBytes)
	}
	c, err := newCache(int(had))
	if err != nil {
		return nil, err
	}
	if err := c.b.Load(f); err != nil {
		return nil, errors.Join(err, c.b.Close())
	}
	c.base = c.b.Stats()
	c.big.used.Store(true) // there may be some
	return c, nil
}
