package policy

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"quiesce/internal/sys"
)

// A leaf (internal/sys, "Leaves") is not preempted as long as it is one function in
// assembly that calls nothing. What it does to its P's data must be what the pinned
// path does, in the same order. The amd64 code is read, path by path.

// leaves are the symbols of the leaves.
var leaves = []string{"rcu.leafLock.abi0", "rcu.leafUnlock.abi0", "slab.leafAlloc.abi0", "slab.leafFree.abi0", "slab.leafFreeRCU.abi0"}

func init() { // they are fast paths, where there are any
	for _, l := range leaves {
		if sys.Leaves {
			fastPaths = append(fastPaths, fastPath{symbol: quoted + regexp.QuoteMeta(l)})
		}
	}
}

// atomicOrCall is what no leaf has.
var atomicOrCall = regexp.MustCompile(`^(CALL|LOCK|XCHG|MFENCE|SYSCALL|PAUSE)\b`)

// checkLeaf follows a leaf of slab, or one of rcu, whose arguments are in SI. Its
// P's data is at AX, once its place was computed. For slab busy is stored first
// and cleared last. rcu has one store.
func checkLeaf(code []instr) error {
	slab := slices.ContainsFunc(code, func(i instr) bool { return i.text == "MOVL $0x1, 0(AX)" })
	addresses := map[int64]bool{}
	for _, i := range code {
		addresses[i.addr] = true
	}
	done := 0
	err := walk(code, func(state string, i instr) (string, bool, error) {
		leaves := i.target != 0 && !addresses[i.target]
		pinned := strings.HasPrefix(i.text, "JMP ") && i.target == 0
		switch {
		case atomicOrCall.MatchString(i.text):
			return "", false, fmt.Errorf("a call or an atomic")
		case leaves || pinned:
			if state == "busy" || state == "stored" {
				return "", false, fmt.Errorf("it leaves with its operation begun")
			}
			return "", true, nil
		case i.text == "RET":
			if state != "idle" && state != "stored" || slab == (state == "stored") {
				return "", false, fmt.Errorf("it returns in state %s", state)
			}
			done++
			return "", true, nil
		case i.base == "SI" && state != "start" && state != "found":
			return "", false, fmt.Errorf("an access to an argument after a store")
		case strings.HasPrefix(i.text, "ADDQ ") && strings.HasSuffix(i.text, ", AX"):
			return "found", false, nil
		case state == "start" && i.stores:
			return "", false, fmt.Errorf("a store before the P is known")
		case slab && i.text == "MOVL $0x1, 0(AX)":
			return "busy", false, nil
		case slab && i.text == "MOVL $0x0, 0(AX)":
			return "idle", false, nil
		case slab && i.mem != "" && state != "busy" && state != "start":
			return "", false, fmt.Errorf("an access while busy is not set")
		case !slab && i.stores && i.base == "AX":
			if state != "found" {
				return "", false, fmt.Errorf("a second store to the P's state")
			}
			return "stored", false, nil
		}
		return state, false, nil
	})
	if err == nil && done == 0 {
		err = fmt.Errorf("it never returns by itself")
	}
	return err
}

func TestLeavesDoWhatThePinnedPathDoesInItsOrder(t *testing.T) {
	if runtime.GOARCH != "amd64" || !sys.Leaves {
		t.Skip("no leaves for amd64 in this build")
	}
	functions := functions(t, `^`+quoted+`(rcu|slab)\.leaf[A-Z]\w*\.abi0$`)
	if len(functions) != len(leaves) {
		t.Errorf("%d leaves, want %d", len(functions), len(leaves))
	}
	for _, l := range leaves {
		lines := functions[module+l]
		if err := checkLeaf(parse(lines)); err != nil {
			t.Errorf("%s: %v\n%s", l, err, strings.Join(lines, "\n"))
		}
	}
}

// Each leaf forbids what a debugger may inject, and has no frame.
func TestLeavesAreMarkedUnsafe(t *testing.T) {
	text := regexp.MustCompile(`(?m)^TEXT .*\n(.*)\n`)
	for _, path := range []string{
		"rcu/leaf_amd64.s", "rcu/leaf_arm64.s", "slab/leaf_amd64.s", "slab/leaf_arm64.s",
		"internal/sys/leaf_amd64.s", "internal/sys/leaf_arm64.s",
	} {
		all := text.FindAllStringSubmatch(read(t, path), -1)
		if len(all) == 0 {
			t.Errorf("%s: no function", path)
		}
		for _, m := range all {
			if !strings.Contains(m[0], "NOSPLIT|NOFRAME, $0-") || strings.TrimSpace(m[1]) != "PCDATA $PCDATA_UnsafePoint, $-2" {
				t.Errorf("%s: %s", path, m[0])
			}
		}
	}
}

func TestAWrongLeafIsSeen(t *testing.T) {
	const find = "MOVQ 0x8(SP), SI; MOVQ 0(SI), DI; MOVQ FS:0xfffffff8, AX; MOVL 0(AX), AX; ADDQ 0(SI), AX; "
	const section = "MOVL 0(AX), AX; ADDQ CX, AX; "
	for _, c := range []struct{ name, code, want string }{
		{"slab", find + "MOVL $0x1, 0(AX); MOVL 0x4(AX), BX; MOVL DX, 0x30(BX); MOVL $0x0, 0(AX); RET", ""},
		{"sheaf loaded early", find + "MOVL 0x4(AX), BX; MOVL $0x1, 0(AX); MOVL DX, 0x30(BX); MOVL $0x0, 0(AX); RET", "busy is not set"},
		{"a late store", find + "MOVL $0x1, 0(AX); MOVL 0x4(AX), BX; MOVL $0x0, 0(AX); MOVL DX, 0x30(BX); RET", "busy is not set"},
		{"never cleared", find + "MOVL $0x1, 0(AX); MOVL 0x4(AX), BX; RET", "returns in state busy"},
		{"not cleared before the pinned path", find + "MOVL $0x1, 0(AX); JMP quiesce/slab.freePinned.abi0(SB)", "operation begun"},
		{"an argument while busy", find + "MOVL $0x1, 0(AX); MOVQ 0(SI), DI; MOVL $0x0, 0(AX); RET", "an argument"},
		{"an atomic", find + "MOVL $0x1, 0(AX); LOCK INCL 0(BX); MOVL $0x0, 0(AX); RET", "atomic"},
		{"a call", find + "CALL quiesce/slab.freePinned.abi0(SB); RET", "a call"},
		{"rcu", section + "INCQ 0x10(AX)(BX*8); RET", ""},
		{"counted twice", section + "INCQ 0x10(AX)(BX*8); INCQ 0x10(AX)(BX*8); RET", "second store"},
		{"counted, then the pinned path", section + "INCQ 0x10(AX)(BX*8); JMP quiesce/rcu.lockPinned.abi0(SB)", "operation begun"},
		{"not counted", section + "RET", "returns in state found"},
		{"a store before the P is known", "MOVQ $0x8, 0(SI); " + section + "INCQ 0x10(AX)(BX*8); RET", "before the P is known"},
	} {
		err := checkLeaf(parse(sample(c.code)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
