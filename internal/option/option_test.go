package option

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		list, name, value string
		ok                bool
	}{
		{"", "limit", "", false},
		{"limit=1", "limit", "1", true},
		{"limit=1,guard=2", "guard", "2", true},
		{" limit=1 , guard=2 ", "guard", "2", true},
		{"limit=1,limit=2", "limit", "1", true}, // the first counts
		{"guard=1", "limit", "", false},
		{",,limit=1,", "limit", "1", true},
		{"delay=20:100us", "delay", "20:100us", true}, // of another build
	} {
		values, err := Parse(c.list)
		if v, ok := values[c.name]; v != c.value || ok != c.ok || err != nil {
			t.Errorf("%q: %q, %v, %v; want %q, %v", c.list, v, ok, err, c.value, c.ok)
		}
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for list, why := range map[string]string{
		"limt=512M":                 "QUIESCE=limt=512M: unknown option",
		"limit=1,limt=512M":         "QUIESCE=limt=512M: unknown option",
		"limit":                     "QUIESCE=limit: want name=value",
		"=1":                        "QUIESCE==1: unknown option",
		"limit=":                    "QUIESCE=limit=: want a number of bytes",
		"limit=lots":                "QUIESCE=limit=lots: want a number of bytes, with an optional K, M or G",
		"limit=1,limit=lots":        "QUIESCE=limit=lots",
		"quarantine=1T":             "QUIESCE=quarantine=1T: want a number of bytes",
		"preempt_rt=no":             "QUIESCE=preempt_rt=no: want 0 or 1",
		"lockdep=":                  "QUIESCE=lockdep=: want 0 or 1",
		"guard=-1":                  "QUIESCE=guard=-1: want a number",
		"guard=x":                   "QUIESCE=guard=x: want a number",
		"failslab=101":              "QUIESCE=failslab=101: want percent[:interval",
		"fail_page_alloc=1:2:3:4:5": "QUIESCE=fail_page_alloc=1:2:3:4:5: want percent",
		"delay=1001":                "QUIESCE=delay=1001: want permille[:duration]",
		"delay=1:":                  "QUIESCE=delay=1:: want permille[:duration]",
		"delay=1:2":                 "QUIESCE=delay=1:2: want permille[:duration]",
		"LIMIT=1":                   "unknown option",
	} {
		_, err := Parse(list)
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", list, err, why)
			continue
		}
		for _, o := range Table {
			if !strings.Contains(err.Error(), o.Name) {
				t.Errorf("%q: the error does not list %s: %v", list, o.Name, err)
			}
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "4096": 4096, "2K": 2048, "512M": 512 << 20, "3g": 3 << 30} {
		if n, err := ParseBytes(s); n != want || err != nil {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "M", "-1", "1T", "5X", "1KM", "9999999999999G", "1.5G"} {
		if n, err := ParseBytes(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}

// Every row of the table is complete, and its default is of its form.
func TestTheTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range Table {
		if seen[o.Name] || o.Name == "" || o.Form == "" || o.Meaning == "" || o.Builds == "" {
			t.Errorf("%+v", o)
		}
		seen[o.Name] = true
		first, _, _ := strings.Cut(o.Default, ";")
		if err := o.check(first); err != nil {
			t.Errorf("%s: the default %q: %v", o.Name, o.Default, err)
		}
	}
}
