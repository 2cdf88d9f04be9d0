// Package ui serves the pages a browser sees: today the search page at /ui/search/{index}. The pages are static files that
// talk to the HTTP API; there is no build step and no Go logic beyond serving.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed search shared
var files embed.FS

// csp lets a page load only what Miroir serves, and pictures from anywhere over HTTPS. No inline script, no inline style.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

const (
	assetsPath = "/ui/assets/"
	searchPath = "/ui/search/"
	// immutable is for addresses that hold the content's hash, revalidate for all others.
	immutable  = "public, max-age=31536000, immutable"
	revalidate = "no-cache"
)

// asset is one file, ready to send.
type asset struct {
	contentType  string
	etag         string
	body, packed []byte // packed is body gzipped
}

// site is every asset by its path below ui/, and the hash of them all, which is part of their address: a page names its
// version of the files, so browsers may keep them forever.
type site struct {
	assets  map[string]*asset
	version string
}

// Handler serves GET and HEAD of /ui/search/{index} and /ui/assets/*; anything else below /ui/ is 404. The page's
// configuration and session are the API's, not served here.
func Handler() http.Handler {
	s := mustLoad(files)
	return http.HandlerFunc(s.serve)
}

// mustLoad panics when an embedded file cannot be read, which the tests would have shown.
func mustLoad(from fs.FS) *site {
	s := &site{assets: map[string]*asset{}}
	all := sha256.New()
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		all.Write([]byte(name))
		all.Write(body)
		s.assets[name] = newAsset(name, body)
		return nil
	})
	if err != nil {
		panic("ui: " + err.Error())
	}
	s.version = hex.EncodeToString(all.Sum(nil))[:12]
	for name, a := range s.assets {
		if path.Ext(name) == ".html" {
			s.assets[name] = newAsset(name, bytes.ReplaceAll(a.body, []byte("{{version}}"), []byte(s.version)))
		}
	}
	return s
}

func newAsset(name string, body []byte) *asset {
	sum := sha256.Sum256(body)
	var packed bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is valid
	zip.Write(body)                                              // a bytes.Buffer does not fail
	zip.Close()
	return &asset{contentType: contentType(name), etag: `"` + hex.EncodeToString(sum[:10]) + `"`, body: body, packed: packed.Bytes()}
}

// contentType does not depend on the machine's MIME tables for the types that matter.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(ext)
	}
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, assetsPath); ok {
		s.serveAsset(w, r, rest)
		return
	}
	index, ok := strings.CutPrefix(r.URL.Path, searchPath)
	if bare, slash := strings.CutSuffix(index, "/"); ok && slash && bare != "" && !strings.Contains(bare, "/") {
		http.Redirect(w, r, searchPath+bare, http.StatusMovedPermanently)
		return
	}
	if !ok || index == "" || strings.Contains(index, "/") {
		http.NotFound(w, r)
		return
	}
	send(w, r, s.assets["search/index.html"], revalidate)
}

// serveAsset answers <version>/<path>. A path of another version gets today's file, not to be kept: the page that asks is
// from before an upgrade.
func (s *site) serveAsset(w http.ResponseWriter, r *http.Request, rest string) {
	version, name, _ := strings.Cut(rest, "/")
	a := s.assets[name]
	if a == nil || path.Ext(name) == ".html" {
		http.NotFound(w, r)
		return
	}
	if version == s.version {
		send(w, r, a, immutable)
		return
	}
	send(w, r, a, revalidate)
}

func send(w http.ResponseWriter, r *http.Request, a *asset, cache string) {
	h := w.Header()
	h.Set("Cache-Control", cache)
	h.Set("Content-Security-Policy", csp)
	h.Set("ETag", a.etag)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	if matches(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.contentType)
	body := a.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = a.packed
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		w.Write(body) // an error means the browser left
	}
}

// matches says whether an If-None-Match header names the tag.
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
