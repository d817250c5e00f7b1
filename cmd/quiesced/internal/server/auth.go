package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"

	"quiesce/cmd/quiesced/internal/item"
	"quiesce/cmd/quiesced/internal/proto"
)

// maxToken is how long "user password" may be.
const maxToken = 1024

// Users are names and passwords of which a client has to send one.
type Users struct{ all [][2][32]byte }

// ReadUsers reads a file like memcached's, with lines of user:password.
func ReadUsers(name string) (*Users, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	u := new(Users)
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		user, password, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(user) == 0 || len(password) == 0 {
			return nil, fmt.Errorf("%s:%d: want user:password", name, i+1)
		}
		u.all = append(u.all, [2][32]byte{sha256.Sum256(user), sha256.Sum256(password)})
	}
	if len(u.all) == 0 {
		return nil, fmt.Errorf("%s has no users", name)
	}
	return u, nil
}

// has reports whether there is such a user. It takes the same time whatever is wrong.
func (u *Users) has(user, password []byte) bool {
	a, b := sha256.Sum256(user), sha256.Sum256(password)
	found := 0
	for i := range u.all {
		found |= subtle.ConstantTimeCompare(a[:], u.all[i][0][:]) & subtle.ConstantTimeCompare(b[:], u.all[i][1][:])
	}
	return found == 1
}

var errToken = errors.New("authentication token too long")

// authorize answers a line of a client that has not said who it is: a set, of which
// the data are "user password".
func (c *conn) authorize(line []byte) error {
	r := &c.req
	r.Parse(line)
	if r.Op != proto.Store || r.Mode != proto.Set {
		return c.reply("CLIENT_ERROR unauthenticated")
	}
	if r.Length > maxToken {
		c.reply("CLIENT_ERROR authentication token too long")
		c.flush()
		return errToken
	}
	defer c.value.release(&c.srv.budget)
	if ok, err := c.readValue(r.Length + 2); err != nil || !ok {
		return errors.Join(err, errToken)
	}
	token, ok := bytes.CutSuffix(c.value.b[item.HeaderSize:], []byte("\r\n"))
	if !ok {
		return c.reply("CLIENT_ERROR bad command line termination")
	}
	user, rest := proto.NextKey(token)
	password, _ := proto.NextKey(rest)
	if user == nil || password == nil {
		return c.reply("CLIENT_ERROR bad authentication token format")
	}
	c.counts[authCmds]++
	if !c.srv.cfg.Users.has(user, password) {
		c.counts[authErrors]++
		return c.reply("CLIENT_ERROR authentication failure")
	}
	c.authorized = true
	return c.reply("STORED")
}
