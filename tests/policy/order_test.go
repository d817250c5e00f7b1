package policy

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"quiesce/rcu"
)

// The plain stores of busy, Nest and QS, and of a Reader's word, pair with a
// membarrier elsewhere, so nothing but the compiler orders them with the
// accesses of the section. The plain stores of rcuhash are releases on amd64, if
// the compiler keeps each of them, once, in its place. Here its output is read,
// path by path, for amd64.

// instr is one instruction of the disassembly.
type instr struct {
	addr   int64
	file   string // of the source
	text   string // without the address and the bytes
	mem    string // the operand in memory: "8(AX)"; "" for none
	base   string // its base register
	stores bool
	target int64 // of a jump; 0: none
	jumps  bool  // always
	call   string
}

var (
	memOperand = regexp.MustCompile(`(?:0x[0-9a-f]+|-0x[0-9a-f]+|0)\(([A-Z0-9]+)\)`)
	jumpTarget = regexp.MustCompile(`^J[A-Z]+ 0x([0-9a-f]+)`)
)

// parse reads the lines that disassemble returns.
func parse(lines []string) (code []instr) {
	for _, l := range lines {
		f := strings.Fields(l)
		if len(f) < 4 {
			continue
		}
		addr, err := strconv.ParseInt(strings.TrimPrefix(f[1], "0x"), 16, 64)
		if err != nil {
			continue
		}
		file, _, _ := strings.Cut(f[0], ":")
		i := instr{addr: addr, file: file, text: strings.Join(f[3:], " ")}
		op := f[3]
		if m := jumpTarget.FindStringSubmatch(i.text); m != nil {
			i.target, _ = strconv.ParseInt(m[1], 16, 64)
			i.jumps = op == "JMP"
		} else if op == "JMP" || op == "RET" {
			i.jumps = true
		} else if op == "CALL" {
			i.call = strings.TrimSuffix(f[4], "(SB)")
		} else if m := memOperand.FindStringSubmatch(i.text); m != nil && !strings.HasPrefix(op, "LEA") && !strings.HasPrefix(op, "NOP") {
			if m[1] != "SP" && m[1] != "IP" {
				i.mem, i.base = m[0], m[1]
				compares := strings.HasPrefix(op, "CMP") || strings.HasPrefix(op, "TEST")
				one := strings.HasPrefix(op, "INC") || strings.HasPrefix(op, "DEC")
				i.stores = !compares && (one || strings.HasSuffix(i.text, m[0]) || strings.Contains(i.text, ", "+m[0]))
			}
		}
		code = append(code, i)
	}
	return code
}

// walk follows every path through the code. step returns the state after an
// instruction; end says that the path is of no interest from there on.
func walk(code []instr, step func(state string, i instr) (next string, end bool, err error)) error {
	at := map[int64]int{}
	for n, i := range code {
		at[i.addr] = n
	}
	type point struct {
		n     int
		state string
	}
	seen := map[point]bool{}
	for todo := []point{{0, "start"}}; len(todo) > 0; {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if p.n >= len(code) || seen[p] {
			continue
		}
		seen[p] = true
		i := code[p.n]
		next, end, err := step(p.state, i)
		if err != nil {
			return fmt.Errorf("%#x %s: %w", i.addr, i.text, err)
		}
		if end {
			continue
		}
		if n, ok := at[i.target]; ok && i.target != 0 {
			todo = append(todo, point{n, next})
		}
		if !i.jumps {
			todo = append(todo, point{p.n + 1, next})
		}
	}
	return nil
}

var setBusy = regexp.MustCompile(`^MOVL \$0x1, 0\(([A-Z0-9]+)\)$`)

// checkBusy checks a fast path of slab: after the pin busy is set before
// anything of the slot is read or written, and busy is cleared after the last
// access, before the pin ends.
func checkBusy(code []instr) error {
	slot := ""
	for _, i := range code {
		if m := setBusy.FindStringSubmatch(i.text); m != nil {
			slot = m[1]
			break
		}
	}
	if slot == "" {
		return fmt.Errorf("busy is never set")
	}
	loads, exits := 0, 0
	err := walk(code, func(state string, i instr) (string, bool, error) {
		switch {
		case strings.HasSuffix(i.call, "runtime.procPin"):
			return "pinned", false, nil
		case strings.HasSuffix(i.call, "runtime.procUnpin"):
			if state != "idle" {
				return "", false, fmt.Errorf("the pin ends and busy is not cleared")
			}
			exits++
			return "unpinned", true, nil
		case state == "pinned" && strings.HasSuffix(i.call, "internal/percpu.openRow"):
			return state, false, nil // the slot of a P that is seen for the first time; nothing of it was used
		case i.call != "":
			if state == "idle" || state == "pinned" {
				return "", false, fmt.Errorf("a call between a store of busy and the pin")
			}
			return "", true, nil // a slow half takes over
		case state == "pinned" && i.text == "MOVL $0x1, 0("+slot+")":
			return "busy", false, nil
		case state == "pinned" && (i.stores || i.base == slot):
			return "", false, fmt.Errorf("an access before busy is set")
		case state == "busy" && i.text == "MOVL $0x0, 0("+slot+")":
			return "idle", false, nil
		case state == "busy" && i.base == slot && !i.stores:
			loads++
		case state == "idle" && i.mem != "":
			return "", false, fmt.Errorf("an access after busy is cleared")
		}
		return state, false, nil
	})
	if err == nil && (loads == 0 || exits == 0) {
		err = fmt.Errorf("no load of the slot's sheaf, or no exit")
	}
	return err
}

// checkEntry checks preempt.Disable: Nest is raised after the pin, and nothing
// else of the P's state is accessed.
func checkEntry(code []instr) error {
	raised := false
	err := walk(code, func(state string, i instr) (string, bool, error) {
		switch {
		case strings.HasSuffix(i.call, "runtime.procPin"):
			return "pinned", false, nil
		case i.call != "":
			return state, true, nil // more stack
		case state == "pinned" && strings.HasPrefix(i.text, "INCQ 0("):
			raised = true
			return "inside", false, nil
		case i.stores:
			return "", false, fmt.Errorf("a store that is not Nest's")
		case i.text == "RET" && state != "inside":
			return "", false, fmt.Errorf("the section begins and Nest is not raised")
		}
		return state, false, nil
	})
	if err == nil && !raised {
		err = fmt.Errorf("Nest is never raised")
	}
	return err
}

// checkExit checks preempt.Pinned.Enable: Nest is lowered first, then QS is
// raised if the section was the outermost, then the pin ends.
func checkExit(code []instr) error {
	var paths []string
	err := walk(code, func(state string, i instr) (string, bool, error) {
		switch {
		case strings.HasSuffix(i.call, "runtime.procUnpin"):
			paths = append(paths, state)
			return "", true, nil
		case i.call != "":
			return state, true, nil // more stack
		case i.stores && strings.HasPrefix(i.mem, "0("):
			return state + " Nest", false, nil
		case i.stores && strings.HasPrefix(i.mem, "0x8("):
			return state + " QS", false, nil
		case i.stores:
			return "", false, fmt.Errorf("a store that is neither Nest's nor QS's")
		}
		return state, false, nil
	})
	slices.Sort(paths)
	if want := []string{"start Nest", "start Nest QS"}; err == nil && !slices.Equal(paths, want) {
		err = fmt.Errorf("the stores before the pin ends are %q, want %q", paths, want)
	}
	return err
}

// checkStore checks a store of rcuhash: it is one instruction, which stores the
// second argument at the first. The function is called, so nothing moves across.
func checkStore(code []instr) error {
	stores := 0
	err := walk(code, func(state string, i instr) (string, bool, error) {
		switch {
		case i.call != "" || i.target != 0:
			return "", false, fmt.Errorf("a call or a jump")
		case i.text == "MOVQ BX, 0(AX)" || i.text == "MOVL BX, 0(AX)":
			stores++
		case i.mem != "":
			return "", false, fmt.Errorf("another access")
		}
		return state, false, nil
	})
	if err == nil && stores != 1 {
		err = fmt.Errorf("%d stores, want one", stores)
	}
	return err
}

// registeredSection is a section of a Reader as it stands in its caller.
//
//go:noinline
func registeredSection(r *rcu.Reader, p *atomic.Pointer[[2]uint64]) uint64 {
	r.ReadLock()
	x := p.Load()[1]
	r.Unlock()
	return x
}

// checkRegistered checks registeredSection: both halves are inlined, the word is
// stored before the first load of the user's, and again after the last.
func checkRegistered(code []instr) error {
	loads, exits := 0, 0
	err := walk(code, func(state string, i instr) (string, bool, error) {
		users := i.file != "registered.go" && i.mem != "" && i.base != "R14" // the goroutine's
		switch {
		case strings.HasSuffix(i.call, "runtime.gopanic") || strings.Contains(i.call, "runtime.morestack"):
			return state, true, nil
		case i.call != "":
			return "", false, fmt.Errorf("a call: something is not inlined")
		case users && state != "inside":
			return "", false, fmt.Errorf("an access outside of the section")
		case users:
			loads++
		case i.stores && state == "start":
			return "inside", false, nil
		case i.stores:
			return "outside", false, nil
		case i.text == "RET":
			if state != "outside" {
				return "", false, fmt.Errorf("the section does not end")
			}
			exits++
		}
		return state, false, nil
	})
	if err == nil && (loads < 2 || exits == 0) {
		err = fmt.Errorf("%d loads in the section, want those of the pointer and of the object", loads)
	}
	return err
}

var storeOrders = []struct {
	symbol string
	check  func([]instr) error
}{
	{"slab.(*cache).alloc", checkBusy},
	{"slab.(*cache).free", checkBusy},
	{"slab.(*cache).freeRCU", checkBusy},
	{"preempt.Disable", checkEntry},
	{"preempt.Pinned.Enable", checkExit},
	{"rcuhash.storeWord", checkStore},
	{"rcuhash.storeRef", checkStore},
	{"tests/policy.registeredSection", checkRegistered},
}

var keepRegistered any = registeredSection

func TestPlainStoresKeepTheirOrderInTheCompiledCode(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("the instructions are amd64's, this is %s", runtime.GOARCH)
	}
	var patterns []string
	for _, o := range storeOrders {
		patterns = append(patterns, regexp.QuoteMeta(module+o.symbol))
	}
	functions := functions(t, "^("+strings.Join(patterns, "|")+")$")
	for _, o := range storeOrders {
		lines := functions[module+o.symbol]
		if err := o.check(parse(lines)); err != nil {
			t.Errorf("%s: %v\n%s", o.symbol, err, strings.Join(lines, "\n"))
		}
	}
	runtime.KeepAlive(keepRegistered)
}

// sample makes lines as the disassembler does, one instruction to an address. Those
// that begin with @ are of registered.go.
func sample(code string) (lines []string) {
	for n, l := range strings.Split(code, "; ") {
		file := "a.go"
		if strings.HasPrefix(l, "@") {
			file = "registered.go"
		}
		lines = append(lines, fmt.Sprintf("%s:1\t%#x\t90\t%s", file, n+1, strings.TrimPrefix(l, "@")))
	}
	return lines
}

// The checks above can fail: each wrong order is found, the right one is not.
func TestAWrongOrderIsSeen(t *testing.T) {
	const enter, leave = "@MOVQ 0(AX), CX; @MOVQ 0(CX), DI; @INCQ DI; @MOVQ DI, 0(CX); ", "@DECQ DI; @MOVQ DI, 0(CX); RET"
	const pin, unpin = "CALL runtime.procPin(SB); ADDQ 0(CX), AX; ", "CALL runtime.procUnpin(SB); RET"
	for _, c := range []struct {
		name  string
		check func([]instr) error
		code  string
		want  string // part of the error
	}{
		{"busy", checkBusy, pin + "MOVL $0x1, 0(AX); MOVL 0x4(AX), DX; MOVL BX, 0x30(DX); MOVL $0x0, 0(AX); " + unpin, ""},
		{"sheaf loaded early", checkBusy, pin + "MOVL 0x4(AX), DX; MOVL $0x1, 0(AX); MOVL 0x4(AX), DX; MOVL $0x0, 0(AX); " + unpin, "before busy is set"},
		{"a late store", checkBusy, pin + "MOVL $0x1, 0(AX); MOVL 0x4(AX), DX; MOVL $0x0, 0(AX); MOVL BX, 0x30(DX); " + unpin, "after busy is cleared"},
		{"a late load", checkBusy, pin + "MOVL $0x1, 0(AX); MOVL 0x4(AX), DX; MOVL $0x0, 0(AX); MOVL 0x40(DX)(BX*4), DX; " + unpin, "after busy is cleared"},
		{"never cleared", checkBusy, pin + "MOVL $0x1, 0(AX); MOVL 0x4(AX), DX; " + unpin, "not cleared"},
		{"cleared on one path", checkBusy, pin + "MOVL $0x1, 0(AX); MOVL 0x4(AX), DX; JNE 0x7; MOVL $0x0, 0(AX); " + unpin, "not cleared"},
		{"never set", checkBusy, pin + unpin, "never set"},
		{"entry", checkEntry, pin + "INCQ 0(AX); RET", ""},
		{"entry before the pin", checkEntry, "INCQ 0(AX); " + pin + "RET", "not Nest's"},
		{"no entry", checkEntry, pin + "RET", "not raised"},
		{"exit", checkExit, "MOVQ 0(AX), CX; MOVQ DX, 0(AX); CMPQ CX, $0x1; JNE 0x6; INCQ 0x8(AX); " + unpin, ""},
		{"QS first", checkExit, "MOVQ 0(AX), CX; CMPQ CX, $0x1; JNE 0x5; INCQ 0x8(AX); MOVQ DX, 0(AX); " + unpin, "want"},
		{"QS never", checkExit, "MOVQ 0(AX), CX; MOVQ DX, 0(AX); " + unpin, "want"},
		{"store", checkStore, "MOVQ BX, 0(AX); RET", ""},
		{"no store", checkStore, "RET", "want one"},
		{"two stores", checkStore, "MOVL BX, 0(AX); MOVL BX, 0(AX); RET", "want one"},
		{"half a store", checkStore, "MOVW BX, 0(AX); RET", "another access"},
		{"a store on one path", checkStore, "JNE 0x3; MOVQ BX, 0(AX); RET", "a jump"},
		{"registered", checkRegistered, enter + "MOVQ 0(BX), DX; MOVQ 0x8(DX), DX; " + leave, ""},
		{"a load before the entry", checkRegistered, "MOVQ 0(BX), DX; " + enter + "MOVQ 0x8(DX), DX; " + leave, "outside of the section"},
		{"a load after the exit", checkRegistered, enter + "MOVQ 0(BX), DX; @MOVQ DI, 0(CX); MOVQ 0x8(DX), DX; RET", "outside of the section"},
		{"no exit", checkRegistered, enter + "MOVQ 0(BX), DX; MOVQ 0x8(DX), DX; RET", "does not end"},
		{"a section of its own", checkRegistered, enter + leave, "0 loads"},
		{"not inlined", checkRegistered, enter + "CALL quiesce/rcu.(*Reader).Unlock(SB); RET", "not inlined"},
		{"after the pin", checkExit, "CALL runtime.procUnpin(SB); MOVQ DX, 0(AX); RET", "want"},
	} {
		err := c.check(parse(sample(c.code)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
