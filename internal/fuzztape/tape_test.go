package fuzztape

import "testing"

func TestATapeIsReadAsItIsWritten(t *testing.T) {
	tp := New([]byte("a3 b\nZ"), 100)
	for _, want := range []struct {
		op  byte
		arg int
	}{{'a', 3}, {'b', 0}, {"ab"['Z'%2], 0}} {
		op, ok := tp.Op("ab")
		if !ok || op != want.op {
			t.Fatalf("operation %q, %v; want %q", op, ok, want.op)
		}
		if op == 'a' {
			if arg := tp.Arg(10); arg != want.arg {
				t.Fatalf("argument %d of %q, want %d", arg, op, want.arg)
			}
		}
	}
	if op, ok := tp.Op("ab"); ok || tp.Arg(5) != 0 {
		t.Fatalf("after the end of the tape came %q", op)
	}
}

func TestEveryByteIsAnOperationAndAnArgument(t *testing.T) {
	for b := range 256 {
		if op, ok := New([]byte{byte(b)}, 1).Op("xyz"); ok != (b != ' ' && b != '\n') || ok && (op < 'x' || op > 'z') {
			t.Errorf("byte %#x: operation %q, %v", b, op, ok)
		}
		for _, n := range []int{1, 7, 256} {
			if arg := New([]byte{byte(b)}, 1).Arg(n); arg < 0 || arg >= n {
				t.Errorf("byte %#x: argument %d of %d", b, arg, n)
			}
		}
	}
}
