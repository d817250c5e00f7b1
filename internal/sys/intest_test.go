package sys

import "testing"

func TestATestBinaryIsRecognised(t *testing.T) {
	if path := builtFrom(); !inTest(path, []string{"renamed"}) {
		t.Errorf("not by its build information, which says %q", path)
	}
	for _, c := range []struct {
		path string
		args []string
		want bool
	}{
		{"example.org/x.test", nil, true},
		{"", []string{"/tmp/x.test"}, true},
		{"", []string{`C:\x.test.exe`}, true},
		{"", []string{"x", "-test.run=A"}, true},
		{"", []string{"x", "--test.v"}, true},
		{"example.org/x", []string{"x", "test.v", "-tests", "run.test"}, false},
		{"", nil, false},
	} {
		if got := inTest(c.path, c.args); got != c.want {
			t.Errorf("path %q, arguments %q: %v", c.path, c.args, got)
		}
	}
}
