package server

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A script is a conversation, one line a line:
//
//	# a comment
//	> what the client sends, with a line end after it
//	>> "what the client sends", a Go string
//	< what the server answers
//	closed          the server closes the connection
//	reconnect       and the client comes back
//
// In what is sent and answered
//
//	{x*100}         is a hundred x
//	{name}          is any number when it is answered first, and from then on that number
//	{a..b}          is a number in that range
//	{...}           is anything in an answer, for what the protocol leaves open
//
// All that is sent up to an answer is sent at once. After the last answer of such a
// group the client sends mn, and the server has to answer just that.
type script struct {
	t     *testing.T
	dial  func() net.Conn
	conn  net.Conn
	in    *bufio.Reader
	names map[string]string
	sent  strings.Builder // since the last answer
	quiet bool            // no mn
}

var (
	repeated = regexp.MustCompile(`\{(.)\*(\d+)\}`)
	named    = regexp.MustCompile(`\{([a-z][a-z0-9]*|\d+\.\.\d+|\.\.\.)\}`)
)

func (s *script) expand(text string) string {
	return repeated.ReplaceAllStringFunc(text, func(m string) string {
		p := repeated.FindStringSubmatch(m)
		n, _ := strconv.Atoi(p[2])
		return strings.Repeat(p[1], n)
	})
}

func (s *script) connect() {
	s.conn = s.dial()
	s.in = bufio.NewReader(s.conn)
}

func (s *script) flush() {
	if s.sent.Len() > 0 {
		s.conn.Write([]byte(s.sent.String())) // the answers show whether it came in
		s.sent.Reset()
	}
}

// sync checks that there is no more answer than the script has.
func (s *script) sync(where string) {
	if s.quiet || s.conn == nil {
		return
	}
	s.sent.WriteString("mn\r\n")
	s.flush()
	if line, err := s.in.ReadString('\n'); line != "MN\r\n" {
		s.t.Fatalf("%s: another answer: %q, %v", where, line, err)
	}
}

func (s *script) answer(where, want string) {
	s.flush()
	line, err := s.in.ReadString('\n')
	if err != nil {
		s.t.Fatalf("%s: %q, %v, want %q", where, line, err, want)
	}
	got, ok := strings.CutSuffix(line, "\r\n")
	var holes []string
	pattern := "^"
	rest := s.expand(want)
	if ok && got == rest {
		return
	}
	for {
		m := named.FindStringSubmatchIndex(rest)
		if m == nil {
			break
		}
		hole := rest[m[2]:m[3]]
		pattern += regexp.QuoteMeta(rest[:m[0]])
		switch {
		case hole == "...":
			pattern += "(.*)"
		case s.names[hole] != "":
			pattern += "(" + s.names[hole] + ")"
		default:
			pattern += `(\d+)`
		}
		holes = append(holes, hole)
		rest = rest[m[1]:]
	}
	found := regexp.MustCompile(pattern + regexp.QuoteMeta(rest) + "$").FindStringSubmatch(got)
	if !ok || found == nil {
		s.t.Fatalf("%s: got  %.300q\nwant %.300q", where, line, want)
	}
	for i, hole := range holes {
		from, to, isRange := strings.Cut(hole, "..")
		switch {
		case hole == "...":
		case isRange:
			n, _ := strconv.Atoi(found[i+1])
			a, _ := strconv.Atoi(from)
			b, _ := strconv.Atoi(to)
			if n < a || n > b {
				s.t.Errorf("%s: got %q, want %q", where, line, want)
			}
		default:
			s.names[hole] = found[i+1]
		}
	}
}

// play runs the script of a file.
func play(t *testing.T, file string, dial func() net.Conn) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, dial: dial, names: map[string]string{}}
	s.connect()
	answered := false
	for i, line := range strings.Split(string(text), "\n") {
		where := fmt.Sprintf("%s:%d", filepath.Base(file), i+1)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, ">"):
			if answered {
				s.sync(where)
				answered = false
			}
			s.send(where, line)
		case strings.HasPrefix(line, "<"):
			s.answer(where, strings.TrimPrefix(line[1:], " "))
			answered = true
		case line == "closed":
			s.flush()
			if b, err := s.in.ReadByte(); err == nil {
				t.Errorf("%s: got %q, want the end", where, b)
			}
			s.conn, answered = nil, false
		case line == "reconnect":
			s.connect()
		case line == "quiet":
			s.quiet = true
		default:
			t.Fatalf("%s: what is %q?", where, line)
		}
	}
	s.sync("the end")
}

func (s *script) send(where, line string) {
	if raw, ok := strings.CutPrefix(line, ">> "); ok {
		text, err := strconv.Unquote(raw)
		if err != nil {
			s.t.Fatalf("%s: %v", where, err)
		}
		s.sent.WriteString(s.expand(text))
		return
	}
	text := named.ReplaceAllStringFunc(s.expand(strings.TrimPrefix(line[1:], " ")), func(m string) string {
		v := s.names[m[1:len(m)-1]]
		if v == "" {
			s.t.Fatalf("%s: nothing has answered %s", where, m)
		}
		return v
	})
	s.sent.WriteString(text + "\r\n")
}

func scripts(t *testing.T) []string {
	files, err := filepath.Glob("testdata/conversation/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	return files
}

// Each script is right about this server. The next test says the same of memcached, so
// the two answer alike.
func TestConversations(t *testing.T) {
	for _, file := range scripts(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg := testConfig(newTestCache(t))
			cfg.WriteTimeout = patience
			_, address := start(t, cfg)
			play(t, file, func() net.Conn { return dial(t, "tcp", address) })
		})
	}
}

func TestConversationsWithMemcached(t *testing.T) {
	peer(t, "memcached")
	for _, file := range scripts(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			address := memcached(t, "-m", "64")
			play(t, file, func() net.Conn { return dial(t, "unix", address) })
		})
	}
}

// The same conversations, byte by byte: where a command is cut in two by the network
// must not matter.
func TestConversationsInSmallPieces(t *testing.T) {
	for _, file := range scripts(t) {
		if strings.Contains(file, "large") {
			continue // a megabyte of them
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, address := start(t, testConfig(newTestCache(t)))
			play(t, file, func() net.Conn { return slicer{dial(t, "tcp", address)} })
		})
	}
}

// slicer writes a few bytes at a time, so that the server reads them so.
type slicer struct{ net.Conn }

func (s slicer) Write(p []byte) (n int, err error) {
	for i := range p {
		if n, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i + n, err
		}
		if i%7 == 0 {
			time.Sleep(20 * time.Microsecond) // not to wait for anything: to be cut more often
		}
	}
	return len(p), nil
}
