package main

import (
	"crypto/subtle"
	"encoding/json"
	"expvar"
	"net/http"
	"strconv"
)

const cookieName = "session"

// newServer returns the handler of the shop:
//
//	POST /login?user=N            begins a session
//	GET  /me                      shows it
//	POST /cart?article=N&token=T  puts an article into its cart; T is what /me shows
//	POST /logout                  ends it
//	GET  /debug/vars              has the figures, as "caches"
func newServer(s *Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		user, err := strconv.ParseUint(r.FormValue("user"), 10, 64)
		if err != nil { // a real one asks for a password
			http.Error(w, "user is a number", http.StatusBadRequest)
			return
		}
		id, err := s.Begin(user)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id.String(), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /me", s.with(func(w http.ResponseWriter, _ *http.Request, id ID, v Session) {
		v.Views++
		if err := s.Put(id, v); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"user": v.User, "views": v.Views, "token": v.token(), "cart": v.items()})
	}))
	mux.HandleFunc("POST /cart", s.with(func(w http.ResponseWriter, r *http.Request, id ID, v Session) {
		if subtle.ConstantTimeCompare([]byte(r.FormValue("token")), []byte(v.token())) != 1 {
			http.Error(w, "the form is not from here", http.StatusForbidden)
			return
		}
		article, err := strconv.ParseUint(r.FormValue("article"), 10, 32)
		if err != nil || article == 0 || !v.add(uint32(article)) {
			http.Error(w, "no such article, or the cart is full", http.StatusBadRequest)
			return
		}
		if err := s.Put(id, v); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("POST /logout", s.with(func(w http.ResponseWriter, _ *http.Request, id ID, _ Session) {
		s.End(id)
		http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1})
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.Handle("GET /debug/vars", expvar.Handler())
	return mux
}

// with calls fn with the request's session.
func (s *Store) with(fn func(w http.ResponseWriter, r *http.Request, id ID, v Session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var id ID
		c, err := r.Cookie(cookieName)
		if err == nil {
			id, err = parseID(c.Value)
		}
		v, ok := Session{}, false
		if err == nil {
			v, ok = s.Get(id)
		}
		if !ok {
			http.Error(w, "no session: log in", http.StatusUnauthorized)
			return
		}
		fn(w, r, id, v)
	}
}

// add puts an article into the cart, and reports whether there is room.
func (v *Session) add(article uint32) bool {
	for i := range v.Cart {
		if c := &v.Cart[i]; c.Number == 0 || c.Article == article {
			*c = Item{article, c.Number + 1}
			return true
		}
	}
	return false
}

func (v *Session) items() (items []Item) {
	for _, i := range v.Cart {
		if i.Number > 0 {
			items = append(items, i)
		}
	}
	return items
}

// Vars are the store's figures for expvar.
func (s *Store) Vars() any {
	n := s.c.Stats()
	return map[string]any{
		"entries": n.Entries, "bytes": n.Bytes, "maxBytes": n.MaxBytes,
		"hits": n.Hits, "misses": n.Misses, "hitRatio": n.HitRatio(),
		"expired": n.Expirations, "evicted": n.Evictions, "ended": n.Deletes, "refused": n.Busy + n.TooLarge,
	}
}
