package proxy

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

func TestChooseEncoding(t *testing.T) {
	for accept, want := range map[string]string{
		"": "", "identity": "", "gzip": "gzip", "br, gzip": "br", "gzip;q=0.5, br;q=0.9": "br", "gzip;q=0": "", "GZIP": "gzip",
		"gzip;q=x, deflate": "deflate", "*": "", "zstd, br": "zstd",
	} {
		if got := chooseEncoding(accept); got != want {
			t.Errorf("Accept-Encoding %q: %q, want %q", accept, got, want)
		}
	}
}

// TestCompressRoundTrip asks twice per coding: the second answer is made by a compressor that was used before.
func TestCompressRoundTrip(t *testing.T) {
	decoders := map[string]func(io.Reader) (io.Reader, error){
		"gzip":    func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"deflate": func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		"br":      func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		"zstd":    func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	bodies := [][]byte{[]byte(`{"status":"available"}`), bytes.Repeat([]byte(`{"id":1},`), 10_000)}
	for coding, decode := range decoders {
		for _, body := range bodies {
			h := compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeRawJSON(w, http.StatusAccepted, body) }))
			request := httptest.NewRequest(http.MethodGet, "/", nil)
			request.Header.Set("Accept-Encoding", coding)
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, request)
			if answer.Code != http.StatusAccepted || answer.Header().Get("Content-Encoding") != coding {
				t.Fatalf("%s: status %d, encoding %q", coding, answer.Code, answer.Header().Get("Content-Encoding"))
			}
			reader, err := decode(answer.Body)
			if err != nil {
				t.Fatalf("%s: %v", coding, err)
			}
			if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes became %d (%v)", coding, len(body), len(got), err)
			}
		}
	}
}

func TestCompressLeavesEmptyAndEncodedAnswersAlone(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"empty 404":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"encoded already": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("x"))
		},
	} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set("Accept-Encoding", "gzip")
		answer := httptest.NewRecorder()
		compress(handle).ServeHTTP(answer, request)
		if answer.Header().Get("Content-Encoding") == "gzip" || answer.Body.Len() > 1 {
			t.Errorf("%s: encoding %q, body %q", name, answer.Header().Get("Content-Encoding"), answer.Body)
		}
	}
}
