package locktest

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"

	"quiesce/lockdep"
)

// Every row of the table, in every column.
func TestRows(t *testing.T) {
	lockdep.Enable()
	for _, s := range sections() {
		t.Run(s.title, func(t *testing.T) {
			for _, r := range s.rows {
				t.Run(r.name, func(t *testing.T) {
					for i, column := range s.columns {
						if r.verdicts[i] == ' ' {
							continue
						}
						t.Run(column, func(t *testing.T) {
							c := r.cell(column, r.verdicts[i])
							if c.Unseen {
								t.Skip("needs -tags lockdep")
							}
							if !c.Pass {
								t.Errorf("expected %s %q, observed %s %q %s\n%s", c.Expected, c.Kind, c.Observed, c.Reports, c.Panic, strings.Join(c.Texts, "\n"))
							}
						})
					}
				})
			}
		})
	}
}

// The kernel's expectations, as published tables of its behaviour have them,
// are those of the rows of the same names.
func TestTheExpectationsAreTheKernels(t *testing.T) {
	expected := map[string]string{} // by row and column
	for _, s := range sections() {
		for _, r := range s.rows {
			for i, column := range s.columns {
				expected[r.name+", "+column] += map[byte]string{'.': "ok", 'x': "fail", 'n': "fail", 't': "fail", ' ': ""}[r.verdicts[i]]
			}
		}
	}
	read := func(name string) [][]string {
		f, err := os.Open("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	inner := map[string]string{"rcu_read_lock": "rcu", "raw_spinlock_t": "raw", "spinlock_t": "spin", "mutex": "mutex"}
	matrix := read("wait-context.csv")[1:]
	for _, f := range matrix {
		if got := expected[f[0]+", "+inner[f[1]]]; got != f[2] {
			t.Errorf("%s in %s: %q, the kernel has %q", f[1], f[0], got, f[2])
		}
	}
	if len(matrix) != 36 {
		t.Errorf("%d cells in the matrix", len(matrix))
	}
	table := read("locking-selftest.csv")
	for _, f := range table[1:] {
		name, order, permuted := strings.Cut(f[0], "/1")
		names := []string{f[0]}
		if permuted && strings.Trim(order, "23") == "" {
			names = nil
			for _, p := range permutations(len(order) + 1) {
				n := name + "/"
				for _, i := range p {
					n += string(rune('1' + i))
				}
				names = append(names, n)
			}
		}
		for _, n := range names {
			for i, column := range table[0][1:] {
				if want := f[i+1]; want != "" && expected[n+", "+column] != want {
					t.Errorf("%s, %s: %q, the kernel has %q", n, column, expected[n+", "+column], want)
				}
			}
		}
	}
}
