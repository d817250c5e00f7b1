package api

import (
	"go/ast"
	"regexp"
	"strings"
)

// Effects says what a call may do that a section forbids. The zero value says
// that nothing is known to be wrong.
type Effects struct {
	// Blocks says why the function may wait for something, or "".
	Blocks string
	// Waits says why it may wait for a grace period or for memory, or "".
	Waits string
}

// std has the functions of Go's library that wait, or make system calls that
// may. What blocks only for some arguments is not there.
var std = map[string]string{
	"time.Sleep":                            "sleeps",
	"sync.Mutex.Lock":                       "may wait for the lock",
	"sync.RWMutex.Lock":                     "may wait for the lock",
	"sync.RWMutex.RLock":                    "may wait for the lock",
	"sync.Locker.Lock":                      "may wait for the lock",
	"sync.WaitGroup.Wait":                   "waits",
	"sync.Cond.Wait":                        "waits",
	"golang.org/x/sync/errgroup.Group.Wait": "waits",
	"runtime.GC":                            "waits for a collection",
	"runtime.Gosched":                       "yields the processor",
	"os.Open":                               "is a system call",
	"os.OpenFile":                           "is a system call",
	"os.Create":                             "is a system call",
	"os.ReadFile":                           "is a system call",
	"os.WriteFile":                          "is a system call",
	"os.ReadDir":                            "is a system call",
	"os.Remove":                             "is a system call",
	"os.RemoveAll":                          "is a system call",
	"os.Rename":                             "is a system call",
	"os.Mkdir":                              "is a system call",
	"os.MkdirAll":                           "is a system call",
	"os.Stat":                               "is a system call",
	"os.File.Read":                          "is a system call",
	"os.File.ReadAt":                        "is a system call",
	"os.File.Write":                         "is a system call",
	"os.File.WriteAt":                       "is a system call",
	"os.File.WriteString":                   "is a system call",
	"os.File.Sync":                          "is a system call",
	"os.File.Close":                         "is a system call",
	"net.Dial":                              "waits for the network",
	"net.DialTimeout":                       "waits for the network",
	"net.Listen":                            "is a system call",
	"net.Conn.Read":                         "waits for the network",
	"net.Conn.Write":                        "waits for the network",
	"net.Listener.Accept":                   "waits for the network",
	"net/http.Get":                          "waits for the network",
	"net/http.Post":                         "waits for the network",
	"net/http.Client.Do":                    "waits for the network",
	"fmt.Print":                             "writes to standard output",
	"fmt.Printf":                            "writes to standard output",
	"fmt.Println":                           "writes to standard output",
	"log.Print":                             "writes to the log",
	"log.Printf":                            "writes to the log",
	"log.Println":                           "writes to the log",
	"os/exec.Cmd.Run":                       "waits for a process",
	"os/exec.Cmd.Wait":                      "waits for a process",
	"os/exec.Cmd.Output":                    "waits for a process",
	"os/exec.Cmd.CombinedOutput":            "waits for a process",
}

// Std returns the effects of a function of Go's library.
func Std(name string) Effects { return Effects{Blocks: std[name]} }

// contextLine is the line of a doc comment that says where a function may be
// called: "Context: task; not pinned, not in a read-side section."
var contextLine = regexp.MustCompile(`(?s)Context: (task(?: or softirq)?; not pinned[^.]*)\.(.*)`)

// FromDoc returns the effects that a Context: line admits. A line with
// conditions ("with gfp.NoLocks any") says nothing for certain.
func FromDoc(doc *ast.CommentGroup) Effects {
	if doc == nil {
		return Effects{}
	}
	m := contextLine.FindStringSubmatch(doc.Text())
	if m == nil {
		return Effects{}
	}
	line := strings.Join(strings.Fields(m[1]), " ")
	rest, _, _ := strings.Cut(m[2], "Linux:")
	if strings.Contains(rest, "gfp.") || strings.Contains(line, "gfp.") {
		return Effects{}
	}
	e := Effects{Blocks: `is documented as "Context: ` + line + `."`}
	if strings.Contains(line, "not in a read-side section") {
		e.Waits = e.Blocks
	}
	return e
}

// DocumentsContext reports whether a doc comment has a Context: line.
func DocumentsContext(doc *ast.CommentGroup) bool {
	return doc != nil && strings.Contains(doc.Text(), "Context: ")
}

// noReturn has functions that don't return.
var noReturn = map[string]bool{
	"os.Exit": true, "runtime.Goexit": true, "syscall.Exit": true,
	"log.Fatal": true, "log.Fatalf": true, "log.Fatalln": true,
	"log.Panic": true, "log.Panicf": true, "log.Panicln": true,
	"log.Logger.Fatal": true, "log.Logger.Fatalf": true, "log.Logger.Fatalln": true,
}

// NoReturn reports whether a call of the function never comes back.
func NoReturn(name string) bool {
	if noReturn[name] {
		return true
	}
	rest, ok := strings.CutPrefix(name, "testing.")
	if !ok {
		return false
	}
	switch rest[strings.LastIndex(rest, ".")+1:] {
	case "Fatal", "Fatalf", "FailNow", "Skip", "Skipf", "SkipNow":
		return true
	}
	return false
}
