package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// ListenUnix listens on a Unix socket whose file has the permissions mode. It
// removes a file that a server left that has died.
func ListenUnix(name string, mode os.FileMode) (net.Listener, error) {
	defer maskFiles(mode)()
	l, err := net.Listen("unix", name)
	if errors.Is(err, syscall.EADDRINUSE) {
		var c net.Conn
		if c, err = net.Dial("unix", name); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s: another server listens there", name)
		}
		if st, err := os.Lstat(name); err != nil || st.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s: not a socket", name)
		}
		if err := os.Remove(name); err != nil {
			return nil, err
		}
		l, err = net.Listen("unix", name)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
