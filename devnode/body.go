package devnode

import (
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"miroir/meili"
)

// decompress returns the decoded body of a request. Encodings: gzip, deflate (zlib), br, zstd; others are passed through.
func decompress(r *http.Request) (io.Reader, error) {
	switch strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))) {
	case "gzip":
		return gzip.NewReader(r.Body)
	case "deflate":
		return zlib.NewReader(r.Body)
	case "br":
		return brotli.NewReader(r.Body), nil
	case "zstd":
		decoder, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	}
	return r.Body, nil
}

// limitedReader fails with the documents routes' payload_too_large once more than its limit was read.
type limitedReader struct {
	reader    io.Reader
	limit     int64
	remaining int64
}

// Read returns a *meili.Error when the limit is passed.
func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.reader.Read(p)
	l.remaining -= int64(n)
	if l.remaining < 0 {
		return 0, meili.Errorf(meili.CodePayloadTooLarge,
			"The provided payload reached the size limit. The maximum accepted payload size is %s.", readableBytes(l.limit))
	}
	return n, err
}

// readableBytes prints a size the way Meilisearch prints its payload limit: binary units when it is a multiple of 1024.
func readableBytes(n int64) string {
	units, step := []string{"B", "KB", "MB", "GB", "TB"}, 1000.0
	if n%1024 == 0 {
		units, step = []string{"B", "KiB", "MiB", "GiB", "TiB"}, 1024.0
	}
	size, unit := float64(n), 0
	for size >= step && unit < len(units)-1 {
		size /= step
		unit++
	}
	return fmt.Sprintf("%g %s", size, units[unit])
}
