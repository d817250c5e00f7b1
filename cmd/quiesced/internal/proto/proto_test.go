package proto

import (
	"fmt"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1": "1", "+5": "5", "-0": "0", " 7": "7", "\t\n\v\f\r8": "8", "9 x": "9", "9\r\n": "9", "007": "7",
		"18446744073709551615": "18446744073709551615",
		"18446744073709551616": "no", "99999999999999999999999": "no", "": "no", "-": "no", "+": "no", "x": "no", "1x": "no",
		"-1": "no", " ": "no", "+-1": "no", "0x1": "no", "1.5": "no",
	} {
		got := "no"
		if n, ok := Uint64([]byte(text)); ok {
			got = fmt.Sprint(n)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"-1": "-1", "-9223372036854775807": "-9223372036854775807", "9223372036854775807": "9223372036854775807",
		"9223372036854775808": "no", "-9223372036854775809": "no", "": "no", "-x": "no",
	} {
		got := "no"
		if n, ok := int64Of([]byte(text)); ok {
			got = fmt.Sprint(n)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func parsed(line string) *Request {
	r := new(Request)
	r.Parse([]byte(line))
	return r
}

func TestParse(t *testing.T) {
	if r := parsed("set key 5 -1 100 noreply"); r.Op != Store || r.Mode != Set || string(r.Key) != "key" || r.Flags != 5 || r.Exptime != -1 || r.Length != 100 || !r.NoReply {
		t.Errorf("set: %+v", r)
	}
	if r := parsed("cas key 0 0 1 77"); r.Op != Store || r.Mode != CAS || r.CAS != 77 || r.NoReply {
		t.Errorf("cas: %+v", r)
	}
	if r := parsed("gats 10 a b"); r.Op != Get || !r.WithCAS || !r.Touches || r.Exptime != 10 || string(r.Keys) != " a b" {
		t.Errorf("gats: %+v", r)
	}
	r := parsed("ms YWI= 3 b T9 F7 C5 MR I Oabc")
	if m := r.Meta; r.Op != MetaSet || r.Mode != CAS || string(r.Key) != "ab" || r.Length != 3 || r.Flags != 7 || !m.BinaryKey || m.TTL != 9 || m.CAS != 5 || !m.Stale {
		t.Errorf("ms: %+v", r)
	}
	if got := string(r.AppendEcho(nil)); got != " Oabc" {
		t.Errorf("echo %q", got)
	}
	if r := parsed("ms key 10 !"); r.Op != Reply || r.Swallow != 12 {
		t.Errorf("ms with a wrong flag: %+v", r)
	}
	if r := parsed("ma n MD D3 N10 J4 q"); r.Op != MetaDelta || !r.Decr || r.Meta.Delta != 3 || r.Meta.Initial != 4 || r.Meta.VivifyTTL != 10 || !r.NoReply {
		t.Errorf("ma: %+v", r)
	}
	// A request holds nothing of the one before.
	r.Parse([]byte("mg key"))
	if m := r.Meta; r.Op != MetaGet || m.BinaryKey || m.HasCAS || m.HasTTL || r.Flags != 0 || r.NoReply || len(m.Flags) != 0 {
		t.Errorf("mg: %+v", r)
	}
}

// The replies' lines are not longer than the constants that make room for them.
func TestRoomForReplies(t *testing.T) {
	key := []byte(strings.Repeat("k", MaxKey))
	if n := len(AppendValueHead(nil, key, 1<<32-1, MaxLength, 1<<64-1, true)); n > ValueHead {
		t.Errorf("a value's line has %d bytes", n)
	}
	r := &Request{Key: key}
	r.Meta.BinaryKey = true
	for _, f := range []string{"k", "O" + strings.Repeat("o", MaxOpaque)} {
		r.Meta.Flags = append(r.Meta.Flags, []byte(f))
	}
	b := r.AppendEcho([]byte("VA 2147483645"))
	for _, f := range "sctflh" {
		b = AppendMetaNumber(b, byte(f), 1<<64-1)
	}
	if b = append(b, " Z X W\r\n18446744073709551615\r\n"...); len(b) > MetaLine {
		t.Errorf("a meta line has %d bytes", len(b))
	}
}

// FuzzParse reads any line, and checks what the server relies on.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"get a b c", "gets  a", "gat 10 a", "set a 0 0 1 noreply", "cas a 0 0 1 5", "incr a 1", "delete a 0 noreply",
		"mg a v t Oabc", "ms YQ== 3 b T1 MS I C5", "md a x I", "ma a N1 J5 D3 MD", "me a b", "mn", "flush_all 10 noreply",
		"stats items", "verbosity 1", "cache_memlimit 64", "\x00", "set a\x00b 0 0 1", strings.Repeat("x ", 30),
		"get " + strings.Repeat("k", 251), "mg " + strings.Repeat("A", 248) + " b",
	} {
		f.Add([]byte(line))
	}
	var r Request // used again, as a connection's
	f.Fuzz(func(t *testing.T, line []byte) {
		r.Parse(line)
		if r.Op == Reply != (r.Text != "") {
			t.Fatalf("op %d, answer %q", r.Op, r.Text)
		}
		if r.Op != Reply && r.Swallow != 0 || r.Swallow < 0 || r.Length < 0 || r.Length > MaxLength {
			t.Fatalf("%+v", &r)
		}
		switch r.Op {
		case Store, Delta, Touch, Delete, MetaGet, MetaSet, MetaDelete, MetaDelta, MetaDebug:
			if len(r.Key) == 0 || len(r.Key) > MaxKey {
				t.Fatalf("key %q", r.Key)
			}
		case Get:
			n := 0
			for key, rest := NextKey(r.Keys); key != nil; key, rest = NextKey(rest) {
				if n++; len(key) == 0 || len(key) > MaxKey {
					t.Fatalf("key %q", key)
				}
			}
			if n == 0 && !r.Touches {
				t.Fatal("no keys")
			}
		}
		switch r.Op {
		case MetaGet, MetaSet, MetaDelete, MetaDelta:
			if b := r.AppendEcho(nil); len(b) > MetaLine/2 {
				t.Fatalf("an echo of %d bytes", len(b))
			}
		}
	})
}

func TestParseAllocatesNothing(t *testing.T) {
	var r Request
	for _, line := range []string{"get a b", "set a 0 0 1", "ms YQ== 3 b T1 MS I C5 Oabc", "mg a v t", "stats", "bogus"} {
		b := []byte(line)
		if n := testing.AllocsPerRun(100, func() { r.Parse(b) }); n != 0 {
			t.Errorf("%s: %v allocations", line, n)
		}
	}
}
