package server

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// talk returns what a server that has nothing stored answers to text.
func talk(t *testing.T, text []byte, piece int, budget int64) []byte {
	cfg := testConfig(newMapCache())
	cfg.ConnMemory = budget
	s := New(cfg)
	f := &fakeConn{in: text, piece: piece, keep: true}
	s.handle(f, &s.shards[0])
	if n := s.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes are in use at the end", n)
	}
	s.store.StopFlush()
	return f.out
}

// changing matches what depends on when a command runs.
var changing = regexp.MustCompile(`(?m)^STAT .*\r\n| [tl]-?\d+|exp=-?\d+ la=\d+`)

// FuzzConversation says anything to a server, and the same in small pieces. It must
// answer alike, and have no memory in use at the end.
func FuzzConversation(f *testing.F) {
	for _, text := range []string{
		"set a 0 0 5\r\nhello\r\nget a\r\n",
		"set a 1 100 3\r\nabcd\r\nappend a 0 0 1\r\nx\r\ngets a b\r\n",
		"cas a 0 0 1 1\r\nx\r\nincr a 1\r\ndecr a 5 noreply\r\ntouch a 0\r\ngat 10 a\r\n",
		"ms a 2 T30 F5 c\r\nhi\r\nmg a v t f c s k Oq\r\nmd a I\r\nmg a v\r\nma n N0 J5 v\r\nme a\r\n",
		"set a 0 0 99999999\r\nxxx", "get a", "\r\n\n\x00\r\n", "flush_all\r\nversion\r\nquit\r\n",
		"ms YQ== 1 b\r\nx\r\nmg YQ== b k v\r\n", "set a 0 0 2000000 noreply\r\n",
	} {
		f.Add([]byte(text), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, piece uint8) {
		if len(text) > 1<<16 {
			return
		}
		whole := changing.ReplaceAll(talk(t, bytes.Clone(text), 0, 1<<20), nil)
		parts := changing.ReplaceAll(talk(t, bytes.Clone(text), int(piece)+1, 1<<20), nil)
		// A long line in pieces ends the connection before its end is there.
		if n := min(len(whole), len(parts)); !bytes.Equal(whole[:n], parts[:n]) || len(text) < 2048 && len(whole) != len(parts) {
			t.Errorf("%q\nat once    %q\nin pieces  %q", text, whole, parts)
		}
	})
}

// The conversations in pieces of every length, without a network.
func TestWhereTheNetworkCutsDoesNotMatter(t *testing.T) {
	for _, name := range []string{"storage", "chunks", "numbers"} {
		text, err := os.ReadFile("testdata/conversation/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		var in []byte
		for line := range bytes.Lines(text) {
			if said, ok := bytes.CutPrefix(line, []byte("> ")); ok {
				in = append(append(in, bytes.TrimSuffix(said, []byte("\n"))...), "\r\n"...)
			}
		}
		want := talk(t, bytes.Clone(in), 0, 1<<20)
		if len(want) < 100 {
			t.Fatalf("%s: only %q", name, want)
		}
		for piece := 1; piece < 80; piece++ {
			if got := talk(t, bytes.Clone(in), piece, 1<<20); !bytes.Equal(got, want) {
				t.Errorf("%s in pieces of %d: %q", name, piece, got)
			}
		}
	}
}
