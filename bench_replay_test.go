package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"miroir/devnode"
)

// startReplay serves an embedded node that answers a search it has seen before with the bytes of its first answer, at
// hardly any cost. It returns the node's address.
func startReplay(b *testing.B) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	r := &replay{node: devnode.New(devnode.Options{MasterKey: "masterKey"}), answers: map[string][]byte{}}
	b.Cleanup(func() {
		listener.Close()
		r.node.Close()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
	return "http://" + listener.Addr().String()
}

type replay struct {
	node    *devnode.Node
	mu      sync.Mutex
	answers map[string][]byte // by request; guarded by mu
}

func (r *replay) serve(conn net.Conn) {
	defer conn.Close()
	m := message{conn: conn}
	for {
		request, err := m.read()
		if err != nil {
			return
		}
		r.mu.Lock()
		answer, known := r.answers[string(request)]
		r.mu.Unlock()
		if !known {
			answer = r.ask(request)
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// ask lets the node answer.
func (r *replay) ask(request []byte) []byte {
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		return []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	}
	recorder := httptest.NewRecorder()
	r.node.ServeHTTP(recorder, parsed)
	var answer bytes.Buffer
	fmt.Fprintf(&answer, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n", recorder.Code, http.StatusText(recorder.Code), recorder.Body.Len())
	recorder.Header().Write(&answer)
	answer.WriteString("\r\n")
	answer.Write(recorder.Body.Bytes())
	if strings.HasSuffix(parsed.URL.Path, "search") {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answers[string(request)] = answer.Bytes()
	}
	return answer.Bytes()
}

// dialSearch returns a function that sends a search on a connection of its own and reads the answer.
func dialSearch(b *testing.B, url, query string) func() {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	request := fmt.Appendf(nil, "POST /indexes/cities/search HTTP/1.1\r\nHost: pod\r\nAuthorization: Bearer masterKey\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(query), query)
	m := message{conn: conn}
	return func() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if answer, err := m.read(); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
			b.Fatalf("%.300s, %v", answer, err)
		}
	}
}

// message reads requests or answers whose length their header tells, one after another, without garbage.
type message struct {
	conn   net.Conn
	buffer []byte
}

// read returns the next message. It is valid until the next call.
func (m *message) read() ([]byte, error) {
	have, want := 0, 0
	for {
		if have == len(m.buffer) {
			m.buffer = append(m.buffer, make([]byte, have+4096)...)
		}
		n, err := m.conn.Read(m.buffer[have:])
		if err != nil {
			return nil, err
		}
		have += n
		if want == 0 {
			if want, err = lengthOf(m.buffer[:have]); err != nil {
				return nil, err
			}
		}
		switch {
		case want == 0 || have < want:
		case have == want:
			return m.buffer[:have], nil
		default:
			return nil, io.ErrNoProgress // nobody sends ahead here
		}
	}
}

// lengthOf is the length of the message that begins with text, 0 while its header is not complete.
func lengthOf(text []byte) (int, error) {
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	const name = "\r\nContent-Length: "
	at := bytes.Index(text[:end], []byte(name))
	if at < 0 {
		return end + 4, nil
	}
	digits, _, _ := bytes.Cut(text[at+len(name):end+2], []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	return end + 4 + n, err
}
