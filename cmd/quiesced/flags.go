package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are what the flags say.
type options struct {
	set *pflag.FlagSet

	port     int
	listen   []string
	socket   string
	mask     string
	mode     fs.FileMode // mask
	memory   int64       // MiB
	conns    int
	threads  int
	itemSize string
	maxItem  int // itemSize, in bytes
	verbose  int
	version  bool

	users    string
	shutdown bool
	noFlush  bool
	zero     bool
	cert     string
	key      string
	clientCA string

	state    string
	interval time.Duration
	debug    string

	idle       time.Duration
	write      time.Duration
	grace      time.Duration
	connMemory int64 // MiB
}

// mostItem is how large an item can be: the cache has 2 MiB for an entry.
const mostItem = 2 << 20

// parse reads the flags. One dash before a long name will do.
func parse(args []string) (*options, error) {
	o := new(options)
	f := pflag.NewFlagSet("quiesced", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	o.set = f
	f.IntVarP(&o.port, "port", "p", 11211, "TCP `port`")
	f.StringSliceVarP(&o.listen, "listen", "l", []string{"127.0.0.1"}, "`addresses` to listen on, each with an optional :port; 0.0.0.0 is every IPv4 one")
	f.StringVarP(&o.socket, "unix-socket", "s", "", "`file` of a Unix socket to listen on instead of TCP")
	f.StringVarP(&o.mask, "unix-mask", "a", "700", "permissions of the Unix socket, in `octal`")
	f.Int64VarP(&o.memory, "memory-limit", "m", 64, "memory of the items, in `MiB`, all overhead included")
	f.IntVarP(&o.conns, "conn-limit", "c", 1024, "most `connections` at a time")
	f.IntVarP(&o.threads, "threads", "t", 0, "`threads` that run Go code; 0: as many as there are processors")
	f.StringVarP(&o.itemSize, "max-item-size", "I", "1m", "largest item, in `bytes` or with a k or m; 1k to 2m")
	f.StringVarP(&o.users, "auth-file", "Y", "", "`file` with lines of user:password; clients have to send one")
	f.BoolVarP(&o.shutdown, "enable-shutdown", "A", false, "let clients stop the server with shutdown")
	f.BoolVarP(&o.noFlush, "disable-flush-all", "F", false, "refuse flush_all")
	f.StringVar(&o.cert, "tls-cert", "", "TLS on the TCP port, with the certificate chain in this PEM `file`")
	f.StringVar(&o.key, "tls-key", "", "PEM `file` with the key of -tls-cert")
	f.StringVar(&o.clientCA, "tls-client-ca", "", "PEM `file` with the authorities that must have signed a client's certificate")
	f.StringVar(&o.state, "state", "", "`file` with the items: read at the start if it is there, written on SIGUSR1 and at the end")
	f.DurationVar(&o.interval, "state-interval", 0, "`time` between further writes of -state; 0: none")
	f.StringVar(&o.debug, "debug", "", "`address` of an HTTP page with counters and profiles; keep it private")
	f.BoolVar(&o.zero, "zero-on-free", false, "overwrite the memory of items that have left with zeros")
	f.DurationVar(&o.idle, "idle-timeout", 0, "`time` after which a silent connection is closed; 0: never")
	f.DurationVar(&o.write, "write-timeout", 30*time.Second, "`time` a client may take to read its answers; 0: any")
	f.DurationVar(&o.grace, "grace", 5*time.Second, "`time` for connections to end when the server stops")
	f.Int64Var(&o.connMemory, "conn-memory", 64, "memory for large values on their way, of all connections, in `MiB`")
	f.CountVarP(&o.verbose, "verbose", "v", "log connections that fail; -vv: more")
	f.BoolVarP(&o.version, "version", "V", false, "print the version and end")

	for i, a := range args {
		if a == "--" {
			break
		}
		if name, _, _ := strings.Cut(strings.TrimPrefix(a, "-"), "="); len(name) > 1 && a[0] == '-' && a[1] != '-' && f.Lookup(name) != nil {
			args[i] = "-" + a
		}
	}
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("what is %q?", f.Arg(0))
	}
	return o, o.check()
}

func (o *options) check() error {
	mode, err := strconv.ParseUint(o.mask, 8, 9)
	if err != nil {
		return fmt.Errorf("-a %s: want permissions in octal", o.mask)
	}
	o.mode = fs.FileMode(mode)
	if o.maxItem, err = parseSize(o.itemSize); err != nil {
		return fmt.Errorf("-I %s: %w", o.itemSize, err)
	}
	const mostMemory = 64 << 10
	for _, c := range []struct {
		bad  bool
		text string
	}{
		{o.port < 0 || o.port > 65535, "-p: want a port"},
		{o.memory < 1 || o.memory > mostMemory, fmt.Sprintf("-m: want 1 to %d MiB", mostMemory)},
		{o.conns < 1, "-c: want at least one connection"},
		{o.threads < 0, "-t: want a number of threads"},
		{o.maxItem < 1<<10 || o.maxItem > mostItem, "-I: want 1k to 2m"},
		{o.interval < 0 || o.idle < 0 || o.write < 0 || o.grace < 0, "a time is negative"},
		{o.interval > 0 && o.state == "", "-state-interval is no use without -state"},
		{(o.cert == "") != (o.key == ""), "-tls-cert and -tls-key go together"},
		{o.clientCA != "" && o.cert == "", "-tls-client-ca is no use without -tls-cert"},
		{o.connMemory < 4, "-conn-memory: want at least 4 MiB"},
	} {
		if c.bad {
			return errors.New(c.text)
		}
	}
	if half := int(o.memory << 20 / 2); o.maxItem > half {
		if o.set.Changed("max-item-size") {
			return errors.New("-I: an item may be half of -m")
		}
		o.maxItem = half
	}
	return nil
}

func parseSize(s string) (int, error) {
	unit := 1
	switch {
	case strings.HasSuffix(s, "k"), strings.HasSuffix(s, "K"):
		unit = 1 << 10
	case strings.HasSuffix(s, "m"), strings.HasSuffix(s, "M"):
		unit = 1 << 20
	}
	if unit > 1 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || int(n) > mostItem {
		return 0, errors.New("want bytes, or a number with a k or m, up to 2m")
	}
	return int(n) * unit, nil
}

// addresses are those to listen on.
func (o *options) addresses() []string {
	var all []string
	for _, a := range o.listen {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), strconv.Itoa(o.port))
		}
		all = append(all, a)
	}
	return all
}

// help is what -h prints, in 80 columns.
func (o *options) help() string {
	return `quiesced: a memcached server with its items off Go's heap

Usage: quiesced [flags]

It speaks memcached's text protocol and the meta commands, and listens on
127.0.0.1:11211 unless it is told otherwise.

Flags:
` + o.set.FlagUsagesWrapped(80) + `
SIGTERM and SIGINT stop it: connections get their answers, -state is written. A
second one ends it at once. SIGUSR1 writes -state.

Examples:
  quiesced -m 1024 -state /var/lib/quiesced/items -state-interval 5m
  quiesced -l 0.0.0.0 -Y users -tls-cert cert.pem -tls-key key.pem

Exit status:
  0  stopped by a signal or a client's shutdown
  1  could not start, or not write -state at the end
  2  a bad flag
`
}
