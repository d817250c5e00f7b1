package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestSaveAndLoad(t *testing.T) {
	now := newClock()
	c := newCache(t, Options[string, [3]uint32]{MaxBytes: 4 << 20, Now: now.Now})
	b, err := NewBytes(Options[uint16, []byte]{MaxBytes: 4 << 20, Now: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range uint32(3000) {
		ttl := time.Duration(i%3) * time.Hour
		if err := errors.Join(c.SetTTL(fmt.Sprint(i), [3]uint32{i, i * i, 7}, ttl), b.SetTTL(uint16(i), make([]byte, i%500), ttl)); err != nil {
			t.Fatal(err)
		}
	}
	var file, bfile bytes.Buffer
	if err := errors.Join(c.Save(&file), b.Save(&bfile)); err != nil {
		t.Fatal(err)
	}
	now.add(time.Hour)
	d := newCache(t, Options[string, [3]uint32]{MaxBytes: 4 << 20, Now: now.Now})
	e, err := NewBytes(Options[uint16, []byte]{MaxBytes: 4 << 20, Now: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for cut := 0; cut < file.Len(); cut += 1 + file.Len()/50 {
		if err := d.Load(bytes.NewReader(file.Bytes()[:cut])); !errors.Is(err, ErrCorrupt) || d.Len() != 0 {
			t.Fatalf("a file of %d of %d bytes: %v, %d entries", cut, file.Len(), err, d.Len())
		}
		bad := bytes.Clone(file.Bytes())
		bad[cut] ^= 1
		if err := d.Load(bytes.NewReader(bad)); !errors.Is(err, ErrCorrupt) || d.Len() != 0 {
			t.Fatalf("a file with byte %d changed: %v, %d entries", cut, err, d.Len())
		}
	}
	if err := d.Load(bytes.NewReader(bfile.Bytes())); !errors.Is(err, ErrCorrupt) {
		t.Error("a file of other types:", err)
	}
	// A reader that can't seek, and one that can, from where it is.
	if err := d.Load(io.MultiReader(&file)); err != nil {
		t.Fatal(err)
	}
	at := bytes.NewReader(append([]byte("xx"), bfile.Bytes()...))
	_, _ = at.Seek(2, io.SeekStart)
	if err := e.Load(at); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(3000) {
		want := i%3 != 1 // those with an hour have expired
		v, ok := d.Get(fmt.Sprint(i))
		w, bok := e.Get(uint16(i))
		if ok != want || bok != want || ok && (v != [3]uint32{i, i * i, 7} || len(w) != int(i%500)) {
			t.Fatalf("%d: %v, %v, %d bytes, %v", i, v, ok, len(w), bok)
		}
	}
	now.add(time.Hour)
	if _, ok := d.Get("2"); ok {
		t.Error("the time to live was not kept")
	}
	if _, ok := d.Get("0"); !ok {
		t.Error("what lives for ever has expired")
	}
}
