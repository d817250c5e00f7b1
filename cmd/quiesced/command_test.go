//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

// A test starts its own binary as the command.
func TestMain(m *testing.M) {
	if os.Getenv("QUIESCED_TEST_COMMAND") == "1" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

const patience = 60 * time.Second

// A process is a quiesced that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	ended  chan struct{}
	log    testkit.Buffer
	waited error
}

func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "QUIESCED_TEST_COMMAND=1")
	p.cmd.Stderr, p.cmd.Stdout = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.waited = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.ended })
	return p
}

// find waits for a line on stderr and returns the part that pattern captures.
func (p *process) find(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if m := re.FindStringSubmatch(p.log.String()); m != nil {
			return m[1]
		}
		select {
		case <-p.ended:
			p.t.Fatalf("ended: %v\n%s", p.waited, p.log.String())
		default:
		}
	}
	p.t.Fatalf("no %s in\n%s", pattern, p.log.String())
	return ""
}

func (p *process) address() string { return p.find(`listening on (\S+)\n`) }

func (p *process) connect() net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.address())
	if err != nil {
		p.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	p.t.Cleanup(func() { c.Close() })
	return c
}

// stop sends a signal and returns the exit status.
func (p *process) stop(s syscall.Signal) int {
	p.t.Helper()
	p.cmd.Process.Signal(s)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("still runs after %v", s)
	}
	return p.cmd.ProcessState.ExitCode()
}

// survives kills the process, and asks the next one with its state.
func (p *process) survives(file, request, want string) {
	p.t.Helper()
	p.stop(syscall.SIGKILL)
	next := launch(p.t, "-l", one, "-state", file)
	if got := ask(p.t, next.connect(), request); got != want {
		p.t.Errorf("after a kill: %q, want %q", got, want)
	}
}

// ask sends text and mn, and returns what is answered before MN.
func ask(t *testing.T, c io.ReadWriter, text string) string {
	t.Helper()
	if _, err := io.WriteString(c, text+"mn\r\n"); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", all.String(), err)
		}
		if line == "MN\r\n" {
			return all.String()
		}
		all.WriteString(line)
	}
}

const one = "127.0.0.1:0"

// What was stored is there after a restart, with its flags, CAS number and time to
// live, unless it was deleted or has expired.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "items")
	p := launch(t, "-l", one, "-state", file)
	c := p.connect()
	var sets strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&sets, "set k%d %d 0 %d noreply\r\n%s\r\n", i, i, i%900, strings.Repeat("v", i%900))
	}
	ask(t, c, sets.String())
	ask(t, c, "set gone 0 0 1\r\nx\r\ndelete gone\r\nset late 0 -1 1\r\nx\r\nset timed 3 1000 5\r\ntimed\r\nms YmluIGtleQ== 2 b\r\nok\r\n")
	before := ask(t, c, "gets k0 k7 k4999 timed\r\n")
	if status := p.stop(syscall.SIGTERM); status != 0 {
		t.Fatalf("status %d\n%s", status, p.log.String())
	}
	p = launch(t, "-l", one, "-state", file, "-v")
	c = p.connect()
	if after := ask(t, c, "gets k0 k7 k4999 timed\r\n"); after != before {
		t.Errorf("before %q\nafter  %q", before, after)
	}
	for i := range 5000 {
		want := fmt.Sprintf("VALUE k%d %d %d\r\n%s\r\nEND\r\n", i, i, i%900, strings.Repeat("v", i%900))
		if got := ask(t, c, fmt.Sprintf("get k%d\r\n", i)); got != want {
			t.Fatalf("k%d: %q", i, got)
		}
	}
	if got := ask(t, c, "get gone late\r\n"); got != "END\r\n" {
		t.Errorf("gone: %q", got)
	}
	if got := ask(t, c, "mg timed t\r\n"); !regexp.MustCompile(`^HD t(1000|9\d\d)\r\n$`).MatchString(got) {
		t.Errorf("time to live: %q", got)
	}
	if got := ask(t, c, "mg YmluIGtleQ== b v k\r\n"); got != "VA 2 kYmluIGtleQ== b\r\nok\r\n" {
		t.Errorf("a binary key: %q", got)
	}
	// A number that is given now is new.
	var cas, next uint64
	fmt.Sscanf(ask(t, c, "mg k4999 c\r\n"), "HD c%d", &cas)
	fmt.Sscanf(ask(t, c, "ms new 1 c\r\nx\r\n"), "HD c%d", &next)
	if next <= cas || cas == 0 {
		t.Errorf("CAS %d after %d", next, cas)
	}
}

// A kill loses what was stored since the last write of the state, and no more.
func TestKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "items")
	p := launch(t, "-l", one, "-state", file, "-v")
	c := p.connect()
	ask(t, c, "set a 0 0 1\r\nx\r\nset b 0 0 1\r\nx\r\n")
	p.cmd.Process.Signal(syscall.SIGUSR1)
	p.find(`(state written)`)
	ask(t, c, "set c 0 0 1\r\nx\r\nset a 0 0 1\r\ny\r\n")
	p.survives(file, "get a b c\r\n", "VALUE a 0 1\r\nx\r\nVALUE b 0 1\r\nx\r\nEND\r\n")
}

// The state is also written now and then, if that is asked for.
func TestStateInterval(t *testing.T) {
	file := filepath.Join(t.TempDir(), "items")
	p := launch(t, "-l", one, "-state", file, "-state-interval", "10ms", "-v")
	ask(t, p.connect(), "set a 0 0 1\r\nx\r\n")
	n := strings.Count(p.log.String(), "state written")
	p.find(fmt.Sprintf(`(?s)(?:state written.*){%d}(\n)`, n+2)) // the second began after the set
	p.survives(file, "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n")
}

// A damaged state is an error, and stays as it is.
func TestDamagedState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "items")
	p := launch(t, "-l", one, "-state", file)
	ask(t, p.connect(), "set a 0 0 100\r\n"+strings.Repeat("x", 100)+"\r\n")
	p.stop(syscall.SIGINT)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, text := range map[string][]byte{"empty": {}, "torn": whole[:len(whole)-7], "flipped": flipped, "other": []byte("something else, and long enough for a head\n")} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p := launch(t, "-l", one, "-state", file)
		<-p.ended
		if p.cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(p.log.String(), file) {
			t.Errorf("%s: %v\n%s", name, p.waited, p.log.String())
		}
		if now, _ := os.ReadFile(file); !bytes.Equal(now, text) {
			t.Errorf("%s: the file has changed", name)
		}
	}
}

func TestStopsByCommand(t *testing.T) {
	p := launch(t, "-l", one, "-A")
	io.WriteString(p.connect(), "shutdown\r\n")
	<-p.ended
	if status := p.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("shutdown: status %d\n%s", status, p.log.String())
	}
}

func TestDebugPage(t *testing.T) {
	p := launch(t, "-l", one, "-debug", one)
	ask(t, p.connect(), "set a 0 0 1\r\nx\r\nget a\r\n")
	base := p.find(`(http://\S+)\n`)
	get := func(path string) []byte {
		t.Helper()
		r, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%s: %s, %v", path, r.Status, err)
		}
		return text
	}
	var vars struct {
		Quiesced map[string]any `json:"quiesced"`
		Memstats map[string]any `json:"memstats"`
	}
	// A connection adds its counts up after it has answered.
	testkit.Eventually(t, 10*time.Second, "the hit is counted", func() bool {
		if err := json.Unmarshal(get("/debug/vars"), &vars); err != nil {
			t.Fatal(err)
		}
		return vars.Quiesced["get_hits"] == 1.0
	})
	if vars.Quiesced["limit_maxbytes"] != float64(64<<20) || vars.Memstats["Mallocs"] == nil {
		t.Errorf("vars: %v", vars.Quiesced)
	}
	if page := get("/"); !bytes.Contains(page, []byte("<td>curr_items<td>1\n")) {
		t.Errorf("page:\n%s", page)
	}
	get("/debug/pprof/goroutine?debug=1")
	var state struct {
		Caches []struct{ Entries int }
	}
	if err := json.Unmarshal(get("/debug/quiesce/snapshot.json"), &state); err != nil || len(state.Caches) != 1 || state.Caches[0].Entries != 1 {
		t.Errorf("snapshot: %v, %+v", err, state)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool, pair := certificate(t, certFile, keyFile)
	p := launch(t, "-l", one, "-tls-cert", certFile, "-tls-key", keyFile, "-tls-client-ca", certFile, "-state", filepath.Join(dir, "items"))
	connect := func(c *tls.Config) (*tls.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", p.address(), c)
	}
	c, err := connect(&tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := strings.Repeat("x", 500_000)
	if got := ask(t, c, "set a 0 0 500000\r\n"+big+"\r\nget a\r\n"); got != "STORED\r\nVALUE a 0 500000\r\n"+big+"\r\nEND\r\n" {
		t.Errorf("over TLS: %.100q", got)
	}
	// Without a certificate the server's answer is an alert.
	if c, err := connect(&tls.Config{RootCAs: pool, ServerName: "localhost"}); err == nil {
		io.WriteString(c, "mn\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			t.Errorf("a client without a certificate got %q", line)
		}
		c.Close()
	}
	plain := p.connect()
	io.WriteString(plain, "version\r\n")
	if line, _ := bufio.NewReader(plain).ReadString('\n'); strings.HasPrefix(line, "VERSION") {
		t.Errorf("without TLS: %q", line)
	}
	if status := p.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d\n%s", status, p.log.String())
	}
}

// certificate makes one that signs itself.
func certificate(t *testing.T, certFile, keyFile string) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyText := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	os.WriteFile(certFile, certText, 0o600)
	os.WriteFile(keyFile, keyText, 0o600)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certText)
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		t.Fatal(err)
	}
	return pool, pair
}

func TestFlags(t *testing.T) {
	for _, args := range []string{
		"-p x", "-p 70000", "-m 0", "-m 70000", "-c 0", "-t -1", "-I 100", "-I 3m", "-I 1x", "-a 9", "extra", "-no-such",
		"-m 2 -I 2m", "-state-interval 1s", "-tls-cert a", "-tls-client-ca a", "-idle-timeout -1s", "-conn-memory 1",
	} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	o, err := parse(strings.Fields("-m 2 -p11300 -l 127.0.0.1,::1,127.0.0.2:7 -I 512k -vv -state=x -state-interval 5s -zero-on-free"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(o.addresses()); got != "[127.0.0.1:11300 [::1]:11300 127.0.0.2:7]" {
		t.Errorf("addresses %s", got)
	}
	if o.maxItem != 512<<10 || o.verbose != 2 || o.state != "x" || o.interval != 5*time.Second || !o.zero || o.memory != 2 {
		t.Errorf("%+v", o)
	}
	if o, err = parse(strings.Fields("-m 1")); err != nil || o.maxItem != 512<<10 {
		t.Errorf("-m 1: items of %d, %v", o.maxItem, err)
	}
	for _, args := range [][]string{{"-Y", "no such file"}, {"-l", "no such address:1"}, {"-s", "/no/such/folder/socket"}} {
		p := launch(t, args...)
		<-p.ended
		if status := p.cmd.ProcessState.ExitCode(); status != exitFailed {
			t.Errorf("%v: status %d\n%s", args, status, p.log.String())
		}
	}
}

func TestHelpFitsATerminal(t *testing.T) {
	p := launch(t, "-h")
	<-p.ended
	if status := p.cmd.ProcessState.ExitCode(); status != 0 || strings.Count(p.log.String(), "\n") < 30 {
		t.Errorf("status %d\n%s", status, p.log.String())
	}
	for line := range strings.Lines(p.log.String()) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	p := launch(t, "-l", one, "-m", "16")
	c := p.connect()
	if got := ask(t, c, "cache_memlimit 32\r\ncache_memlimit 100000\r\nget a\r\n"); got != "OK\r\nMEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\nEND\r\n" {
		t.Errorf("answers %q", got)
	}
	if got := ask(t, c, "stats\r\n"); !strings.Contains(got, "STAT limit_maxbytes 33554432\r\n") {
		t.Errorf("stats:\n%s", got)
	}
}
