package main

import (
	"bytes"
	"strings"
	"testing"

	"quiesce/cmd/quiesce/internal/demo"
)

func TestAFailedReportSaysSo(t *testing.T) {
	var b bytes.Buffer
	renderDemo(&b, &demo.Report{
		RunS: 1, IntegrityErrors: 1234, Leaks: 2,
		IntegritySamples: []string{"a record does not fit"}, LeakSamples: []string{"the map's Close"},
	})
	for _, want := range []string{"1,234", "a record does not fit", "the map's Close", "FAILED: 1234 integrity errors, 2 leaks"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestSizesAreBytesInPowersOf1024(t *testing.T) {
	for in, want := range map[string]size{
		"0": 0, "1": 1, "4096": 4096, "2k": 2 << 10, "2K": 2 << 10, "256M": 256 << 20, "256MiB": 256 << 20, "3G": 3 << 30, "3GB": 3 << 30,
	} {
		var s size
		if err := s.Set(in); err != nil || s != want {
			t.Errorf("%q is %d, %v; want %d", in, s, err, want)
		}
	}
	for _, in := range []string{"", "M", "-1", "1.5G", "1T", "x", "9999999999G", "9223372036854775808"} {
		var s size
		if err := s.Set(in); err == nil {
			t.Errorf("%q is %d, want an error", in, s)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(1234567), "1,234,567"},
		{decimals(5148.96, 1), "5,149.0"},
		{decimals(0.8049, 3), "0.805"},
		{si(8_994_000), "8.99 M"},
		{si(471_234), "471 k"},
		{si(12.3), "12.3"},
		{si(0), "0.00"},
		{percent(1, 0), ""},
		{percent(1, 3), "33.33 %"},
		{plural(1, "reader"), "1 reader"},
		{plural(2, "reader"), "2 readers"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestErrorsCountMoreThanAnInterruption(t *testing.T) {
	for _, c := range []struct {
		rep  demo.Report
		want int
	}{
		{demo.Report{OK: true}, 0},
		{demo.Report{OK: true, Partial: true}, 130},
		{demo.Report{OK: false}, 1},
		{demo.Report{OK: false, Partial: true}, 1},
	} {
		if got := demoResult(&c.rep).status(); got != c.want {
			t.Errorf("OK %v, partial %v: status %d, want %d", c.rep.OK, c.rep.Partial, got, c.want)
		}
	}
}
