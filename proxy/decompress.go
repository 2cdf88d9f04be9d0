package proxy

import (
	"bufio"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"miroir/meili"
)

// decodeBody undoes the request's Content-Encoding. The size limit applies to what comes out.
func decodeBody(r *http.Request) io.ReadCloser {
	var c coding
	switch strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))) {
	case "gzip":
		c = coding{open: openGzip, fault: gzipFault, evenEmpty: true}
	case "deflate":
		c = coding{open: func(body *bufio.Reader) (io.Reader, error) { return zlib.NewReader(body) }, fault: func(error) string {
			return `Custom { kind: InvalidInput, error: "corrupt deflate stream" }`
		}}
	case "br":
		c = coding{open: func(body *bufio.Reader) (io.Reader, error) { return brotli.NewReader(body), nil }, fault: func(error) string {
			return `Custom { kind: InvalidData, error: "Invalid Data" }`
		}}
	case "zstd":
		c = coding{open: openZstd, fault: error.Error, evenEmpty: true}
	default:
		return r.Body // as Meilisearch does: an unknown encoding is read as it is
	}
	r.Header.Del("Content-Encoding")
	return &encodedBody{ReadCloser: r.Body, coding: c, source: bufio.NewReader(r.Body)}
}

// coding is a content coding of requests.
type coding struct {
	open func(*bufio.Reader) (io.Reader, error)
	// fault is how Meilisearch prints what is wrong.
	fault func(error) string
	// evenEmpty says that no body at all is none that can be decoded.
	evenEmpty bool
}

func openGzip(body *bufio.Reader) (io.Reader, error) {
	r, err := gzip.NewReader(body)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	return r, nil
}

func gzipFault(err error) string {
	if err == gzip.ErrHeader {
		return `Custom { kind: InvalidInput, error: "invalid gzip header" }`
	}
	return `Custom { kind: InvalidInput, error: "corrupt gzip stream does not have a matching checksum" }`
}

func openZstd(body *bufio.Reader) (io.Reader, error) {
	return zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
}

// encodedBody is a body decoded as it is read. What cannot be decoded is an error of the client's.
type encodedBody struct {
	io.ReadCloser
	coding
	source  *bufio.Reader
	decoded io.Reader // nil before the first byte is read
}

func (b *encodedBody) Read(p []byte) (n int, err error) {
	if b.decoded == nil {
		if _, err := b.source.Peek(1); err == io.EOF && !b.evenEmpty {
			return 0, io.EOF
		}
		if b.decoded, err = b.open(b.source); err != nil {
			b.decoded = failedReader{err}
		}
	}
	n, err = b.decoded.Read(p)
	if err == io.EOF && !b.failed() {
		if _, more := b.source.Peek(1); more == io.EOF {
			return n, io.EOF
		}
		return n, undecodable(`Error { kind: WriteZero, message: "failed to write whole buffer" }`)
	}
	if err != nil {
		err = undecodable(b.fault(err))
	}
	return n, err
}

// failed reports that the coding could not even be opened.
func (b *encodedBody) failed() bool {
	_, failed := b.decoded.(failedReader)
	return failed
}

type failedReader struct{ err error }

func (r failedReader) Read([]byte) (int, error) { return 0, r.err }

// undecodable is the error of a body that is not what it is said to be, told by routes that read it in parts.
func undecodable(fault string) error {
	return &undecodableBody{meili.Errorf(meili.CodeBadRequest, "The provided payload is incomplete and cannot be parsed"), fault}
}

type undecodableBody struct {
	told  *meili.Error
	fault string
}

func (e *undecodableBody) Error() string { return e.told.Error() }

// Unwrap shows the error that clients are told.
func (e *undecodableBody) Unwrap() error { return e.told }

// asJSON is the error of reading the body of a JSON route, which says more.
func asJSON(err error) error {
	if body, ok := errors.AsType[*undecodableBody](err); ok {
		return meili.Errorf(meili.CodeBadRequest, "Error that occur during reading payload: payload reached EOF before completing: Some(%s)", body.fault)
	}
	return err
}
