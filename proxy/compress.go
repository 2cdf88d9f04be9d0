package proxy

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// encoder is a compressor that can be used again for another body.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encoders hold idle compressors by the content coding they make. Like Meilisearch every answer is encoded when the
// client asks for it, however short: some clients decode without looking at the answer's header.
var encoders = map[string]*sync.Pool{
	"gzip": {New: func() any { w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed); return w }},
	// deflate means zlib's format in HTTP (RFC 9110, section 8.4.1.2).
	"deflate": {New: func() any { w, _ := zlib.NewWriterLevel(io.Discard, zlib.BestSpeed); return w }},
	"br":      {New: func() any { return brotli.NewWriterLevel(io.Discard, 3) }},
	"zstd": {New: func() any {
		w, _ := zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		return w
	}},
}

// chooseEncoding returns the coding the client likes best of those we have, the first listed among equals; "" for none.
func chooseEncoding(accept string) string {
	best, quality := "", 0.0
	for entry := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(strings.ToLower(strings.TrimSpace(entry)), ";")
		name = strings.TrimSpace(name)
		q := 1.0
		if text, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			parsed, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		if _, known := encoders[name]; known && q > quality {
			best, quality = name, q
		}
	}
	return best
}

// compress encodes next's answers as the client accepts it.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		coding := chooseEncoding(r.Header.Get("Accept-Encoding"))
		if coding == "" || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		cw := &compressWriter{ResponseWriter: w, coding: coding}
		defer cw.close()
		next.ServeHTTP(cw, r)
	})
}

// compressWriter encodes the body from its first byte on, unless the answer is encoded already or has no body.
type compressWriter struct {
	http.ResponseWriter
	coding      string
	encoder     encoder // nil until the first byte, and for answers that pass as they are
	wroteHeader bool
	plain       bool
}

func (w *compressWriter) WriteHeader(status int) {
	if w.wroteHeader {
		return
	}
	w.wroteHeader = true
	header := w.Header()
	w.plain = header.Get("Content-Encoding") != "" || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified ||
		header.Get("Content-Type") == "" // nothing will follow: an empty 404 or 405
	if !w.plain {
		header.Del("Content-Length")
		header.Set("Content-Encoding", w.coding)
		header.Add("Vary", "Accept-Encoding")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *compressWriter) Write(p []byte) (int, error) {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if w.plain {
		return w.ResponseWriter.Write(p)
	}
	if w.encoder == nil {
		w.encoder = encoders[w.coding].Get().(encoder)
		w.encoder.Reset(w.ResponseWriter)
	}
	return w.encoder.Write(p)
}

// Flush sends what is encoded so far.
func (w *compressWriter) Flush() {
	if w.encoder != nil {
		_ = w.encoder.Flush() // the client has gone; the handler notices at its next write
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *compressWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *compressWriter) close() {
	if w.encoder == nil {
		return
	}
	_ = w.encoder.Close() // the only error left is that the client has gone
	encoders[w.coding].Put(w.encoder)
}
