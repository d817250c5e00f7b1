package main

import (
	"encoding/json"
	"expvar"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"quiesce/cmd/quiesced/internal/server"
	"quiesce/inspect"
)

// openPage listens for requests of counters and profiles.
func openPage(address string, s *server.Server) (*page, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { index(w, s) })
	mux.HandleFunc("GET /debug/vars", func(w http.ResponseWriter, _ *http.Request) { vars(w, s) })
	mux.Handle("/debug/quiesce/", inspect.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &page{l, &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}, nil
}

// index is the page for people.
func index(w http.ResponseWriter, s *server.Server) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>quiesced</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem } td { padding-right: 2em } td + td { text-align: right; font-variant-numeric: tabular-nums }</style>
<h1>quiesced</h1>
<p><a href="/debug/quiesce/">Memory and grace periods, live</a>, <a href="/debug/vars">counters as JSON</a>, <a href="/debug/pprof/">profiles</a>
<table>
`)
	for _, st := range s.Stats() {
		fmt.Fprintf(w, "<tr><td>%s<td>%s\n", st.Name, st.Value)
	}
	fmt.Fprint(w, "</table>\n")
}

// vars answers what expvar has published, and stats under "quiesced".
func vars(w http.ResponseWriter, s *server.Server) {
	all := map[string]json.RawMessage{}
	expvar.Do(func(kv expvar.KeyValue) { all[kv.Key] = json.RawMessage(kv.Value.String()) })
	stats := map[string]any{}
	for _, st := range s.Stats() {
		if n, err := strconv.ParseInt(st.Value, 10, 64); err == nil {
			stats[st.Name] = n
		} else {
			stats[st.Name] = st.Value
		}
	}
	text, err := json.Marshal(stats)
	if err == nil {
		all["quiesced"] = text
		text, err = json.MarshalIndent(all, "", "  ")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Write(append(text, '\n'))
}
