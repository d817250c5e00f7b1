package compare

import (
	"fmt"
	"math"
	"slices"
)

// heat is a table of who wins where: a column's best figure is 1.
type heat struct {
	Columns []string
	Rows    []heatRow
}

type heatRow struct {
	Name  string
	Cells []heatCell
}

type heatCell struct {
	Text, Title, Class string
}

func heatOf(names, columns []string, value func(name string, column int) (v float64, dead string, noisy bool)) heat {
	h := heat{Columns: columns}
	best := make([]float64, len(columns))
	for c := range columns {
		var v []float64
		for _, n := range names {
			if x, dead, _ := value(n, c); dead == "" && x > 0 {
				v = append(v, x)
			}
		}
		if len(v) > 0 {
			best[c] = slices.Min(v)
		}
	}
	for _, n := range names {
		r := heatRow{Name: n}
		for c := range columns {
			x, dead, noisy := value(n, c)
			cell := heatCell{Text: "–", Class: "none"}
			switch {
			case dead != "":
				cell = heatCell{Text: "dies", Title: dead, Class: "dead"}
			case x > 0:
				k := x / best[c]
				// Six shades for a factor of 1 to 32.
				cell = heatCell{Text: short(x), Title: fmt.Sprintf("%.2f × the best", k), Class: fmt.Sprintf("h%d", min(int(math.Log2(k)+0.5), 5))}
				if x == best[c] {
					cell.Class += " best"
				}
				if noisy {
					cell.Text += " ~"
				}
			}
			r.Cells = append(r.Cells, cell)
		}
		h.Rows = append(h.Rows, r)
	}
	return h
}
