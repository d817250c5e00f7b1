package depcheck

import "testing"

// In one class a bit contradicts the opposite bits of the same interrupt, except
// a reader's of readers. On a path it contradicts readers too.
func TestWhichUsageBitsContradict(t *testing.T) {
	for a := range uint32(8) {
		for b := range uint32(8) {
			opposite := a&bitSoftirq == b&bitSoftirq && a&bitOn != b&bitOn
			readers := a&bitRead != 0 && b&bitRead != 0
			if got, want := against(1<<a)&(1<<b) != 0, opposite && !readers; got != want {
				t.Errorf("%s contradicts %s: %v, want %v", usageName(a), usageName(b), got, want)
			}
			if got := againstPath(1<<a)&(1<<b) != 0; got != opposite {
				t.Errorf("%s contradicts %s on a path: %v, want %v", usageName(a), usageName(b), got, opposite)
			}
		}
	}
}

func TestUsagesAreWrittenAsTheKernelDoes(t *testing.T) {
	for bits, want := range map[uint32]string{
		0:                                     "....",
		1 << bitUsed:                          "....",
		1 << bitOn:                            "+...",
		1:                                     "-...",
		1 | 1<<bitOn:                          "?...",
		1 << bitRead:                          ".-..",
		1 << (bitSoftirq + bitOn):             "..+.",
		1<<(bitSoftirq+bitRead) | 1<<bitOn:    "+..-",
		1<<bitSoftirq | 1<<(bitSoftirq|bitOn): "..?.",
	} {
		if got := usageChars(bits); got != want {
			t.Errorf("usage %#x is written %s, want %s", bits, got, want)
		}
	}
	for b, want := range map[uint32]string{
		0:                            "IN-HARDIRQ-W",
		bitOn:                        "HARDIRQ-ON-W",
		bitSoftirq + bitRead:         "IN-SOFTIRQ-R",
		bitSoftirq + bitOn + bitRead: "SOFTIRQ-ON-R",
	} {
		if got := usageName(b); got != want {
			t.Errorf("bit %d is %s, want %s", b, got, want)
		}
	}
}

// Two edges make a path unless the first one ends as a recursive reader and the
// second one begins as shared.
func TestWhichEdgesMakeAPath(t *testing.T) {
	ways := []struct {
		dep                  uint8
		exclusive, recursive bool
	}{{depEN, true, false}, {depER, true, true}, {depSN, false, false}, {depSR, false, true}}
	for _, first := range ways {
		for _, second := range ways {
			to, ok := (&edge{dep: first.dep}).leads(0)
			if !ok {
				t.Fatalf("an edge of way %#x leads nowhere", first.dep)
			}
			_, ok = (&edge{dep: second.dep}).leads(to)
			if want := !first.recursive || second.exclusive; ok != want {
				t.Errorf("way %#x and way %#x make a path: %v, want %v", first.dep, second.dep, ok, want)
			}
		}
	}
}
