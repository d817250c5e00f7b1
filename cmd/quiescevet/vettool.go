package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"quiesce/cmd/quiescevet/internal/api"
)

// identity is what go vet's cache knows this program by: the program itself and
// its configuration, so that a change of either has packages looked at again.
func identity() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	files := []string{exe}
	if dir, err := os.Getwd(); err == nil {
		if c := api.FindConfig(dir); c != "" {
			files = append(files, c)
		}
	}
	for _, name := range files {
		if err := hashFile(h, name); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func hashFile(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// factsOnly reports whether a unit of go vet's is a package that others import,
// and whose own faults are not asked for.
func factsOnly(cfg string) bool {
	text, err := os.ReadFile(cfg)
	if err != nil {
		return false
	}
	var c struct{ VetxOnly bool }
	return json.Unmarshal(text, &c) == nil && c.VetxOnly
}
