package meili

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func splitAll(kind PayloadKind, delimiter byte, r io.Reader) (docs []string, err error) {
	n, err := SplitPayload(kind, delimiter, r, func(doc []byte) error {
		docs = append(docs, string(doc))
		return nil
	})
	if n != len(docs) {
		return nil, errors.New("count differs from the documents emitted")
	}
	return docs, err
}

// payloadCase is a recorded payload; its characters U+0000 to U+00FF stand for bytes.
type payloadCase struct {
	Kind      PayloadKind
	Payload   string
	Delimiter string
	Documents int
	recorded
}

func (c payloadCase) bytes() []byte {
	var b []byte
	for _, r := range c.Payload {
		b = append(b, byte(r))
	}
	return b
}

func TestSplitPayloadRecorded(t *testing.T) {
	for _, c := range loadRecorded[payloadCase](t, "payloads.json") {
		t.Run(string(c.Kind)+" "+c.Payload, func(t *testing.T) {
			delimiter := byte(0)
			if c.Delimiter != "" {
				delimiter = c.Delimiter[0]
			}
			docs, err := splitAll(c.Kind, delimiter, bytes.NewReader(c.bytes()))
			refused, _ := err.(*Error)
			c.check(t, refused)
			if err == nil && len(docs) != c.Documents {
				t.Errorf("%d documents, want %d", len(docs), c.Documents)
			}
		})
	}
}

func TestSplitPayloadDocuments(t *testing.T) {
	f := func(kind PayloadKind, payload string, want ...string) {
		t.Helper()
		docs, err := splitAll(kind, 0, strings.NewReader(payload))
		if err != nil || !slices.Equal(docs, want) {
			t.Errorf("%s: %q, %v, want %q", payload, docs, err, want)
		}
	}
	f(PayloadJSON, "[ {\"a\" : 1.50,\n\"b\":[ 1 , \" x \" ]} , {} ] rest", `{"a":1.50,"b":[1," x "]}`, `{}`)
	f(PayloadJSON, ` { "id" : 1e2 , "id" : "b" , "c":{"d":1,"d":2}} `, `{"id":"b","c":{"d":1,"d":2}}`)
	f(PayloadJSON, `[{"a":1,"b":2,"\u0061":3,"a":4,"b":5}]`, `{"a":4,"b":5}`)
	f(PayloadJSON, `[]`)
	f(PayloadNDJSON, "{\"a\":1}\r\n\n{\"b\" : \"\\u00e9é\"} {\"c\":null}", `{"a":1}`, `{"b":"\u00e9é"}`, `{"c":null}`)
	f(PayloadNDJSON, "{\"id\":1,\"id\":2}", `{"id":1,"id":2}`) // which a server refuses for its id
	f(PayloadNDJSON, "\n")
	f(PayloadCSV, "id:number,name,ok:boolean,url:link\n1,\"a \"\"b\"\",\n\",true,x\n", `{"id":1,"name":"a \"b\",\n","ok":true,"url:link":"x"}`)
	f(PayloadCSV, "a:number,b:number,c:boolean,d\n,1e3,,\n+7, 1.5 ,false,<&>\u2028\n-0,nan,,\x01\n",
		`{"a":null,"b":1000.0,"c":null,"d":null}`, `{"a":7,"b":1.5,"c":false,"d":"<&>`+"\u2028"+`"}`, `{"a":0,"b":null,"c":null,"d":"\u0001"}`)
	f(PayloadCSV, "a,a:number,b\nx,1,2\n", `{"a":1,"b":"2"}`)
	f(PayloadCSV, "\ufeffa\r\n\r\n1\r2", `{"a":"1"}`, `{"a":"2"}`)
}

func TestSplitPayloadLongMessage(t *testing.T) {
	_, err := splitAll(PayloadCSV, 0, strings.NewReader("id:number\n"+strings.Repeat("x", 200)+"\n"))
	if refused, ok := err.(*Error); !ok || !strings.Contains(refused.Message, strings.Repeat("x", 200)) {
		t.Errorf("CSV messages are not shortened: %v", err)
	}
}

// TestSplitPayloadPassesErrorsOn covers errors that are not about the payload: they come back as they are.
func TestSplitPayloadPassesErrorsOn(t *testing.T) {
	broken := errors.New("connection reset")
	payloads := map[PayloadKind]string{PayloadJSON: `[{"a":1},{"b`, PayloadNDJSON: `{"a":1}{"b`, PayloadCSV: "a\n1\n2"}
	for kind, payload := range payloads {
		r := io.MultiReader(strings.NewReader(payload), iotest.ErrReader(broken))
		if docs, err := splitAll(kind, 0, r); !errors.Is(err, broken) || len(docs) == 0 {
			t.Errorf("%s: %q, %v", kind, docs, err)
		}
		full := errors.New("disk full")
		n, err := SplitPayload(kind, 0, strings.NewReader(payload), func([]byte) error { return full })
		if n != 0 || !errors.Is(err, full) {
			t.Errorf("%s: %d, %v", kind, n, err)
		}
	}
}

// TestSplitPayloadMemory splits far more than it may hold.
func TestSplitPayloadMemory(t *testing.T) {
	const numDocs = 200_000
	doc := `{"id":1,"text":"` + strings.Repeat("x", 200) + `"}`
	var longest int
	r := io.MultiReader(strings.NewReader("["+doc), &repeated{text: "," + doc, left: numDocs - 1}, strings.NewReader("]"))
	allocated := testing.AllocsPerRun(1, func() {
		n, err := SplitPayload(PayloadJSON, 0, r, func(doc []byte) error {
			longest = max(longest, cap(doc))
			return nil
		})
		if n != 0 && n != numDocs || n == 0 && err == nil {
			t.Error(n, err) // the second run finds an empty reader
		}
	})
	if longest > 1024 || allocated > 100 {
		t.Errorf("a document took %d bytes, the payload %v allocations", longest, allocated)
	}
}

// repeated reads a text several times over.
type repeated struct {
	text string
	left int
	rest string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.rest = r.text
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func TestPayloadKindOf(t *testing.T) {
	f := func(contentType string, want PayloadKind, message string) {
		t.Helper()
		kind, err := PayloadKindOf(http.Header{"Content-Type": {contentType}})
		if got := errorMessage(err); kind != want || got != message {
			t.Errorf("%q: %q %q", contentType, kind, got)
		}
	}
	f("application/json; charset=utf-8", PayloadJSON, "")
	f("application/x-ndjson", PayloadNDJSON, "")
	f("text/csv", PayloadCSV, "")
	f("", "", "The Content-Type `` is invalid. Accepted values for the Content-Type header are: `application/json`, `application/x-ndjson`, `text/csv`")
	f("text/plain; a=b", "", "The Content-Type `text/plain` is invalid. Accepted values for the Content-Type header are: `application/json`, `application/x-ndjson`, `text/csv`")
}

func errorMessage(err *Error) string {
	if err == nil {
		return ""
	}
	return err.Message
}

// FuzzSplitPayload holds the split against reading in small pieces and against encoding/json.
func FuzzSplitPayload(f *testing.F) {
	for _, c := range loadRecorded[payloadCase](f, "payloads.json") {
		f.Add(string(c.Kind), c.bytes(), uint8(3))
	}
	f.Add("json", []byte(`[{"a":"\u00e9\ud83d\ude00","b":{"c":[1,2.5e-3]}},{"a":1,"\u0061":2}]`), uint8(1))
	f.Fuzz(func(t *testing.T, kindText string, payload []byte, chunk uint8) {
		kind := PayloadKind(kindText)
		whole, wholeErr := splitAll(kind, 0, bytes.NewReader(payload))
		pieces, piecesErr := splitAll(kind, 0, &chunkReader{payload, int(chunk)%7 + 1})
		if !slices.Equal(whole, pieces) || errorText(wholeErr) != errorText(piecesErr) {
			t.Fatalf("whole %q %v, in pieces %q %v", whole, wholeErr, pieces, piecesErr)
		}
		for _, doc := range whole {
			var compact bytes.Buffer
			if err := json.Compact(&compact, []byte(doc)); err != nil || compact.String() != doc || doc[0] != '{' {
				t.Fatalf("%q is no compact object: %v", doc, err)
			}
		}
		if wholeErr == nil && (kind == PayloadJSON || kind == PayloadNDJSON) {
			if want := decodeAll(t, kind, payload); !reflect.DeepEqual(decodeDocs(t, whole), want) {
				t.Fatalf("%q, want %v", whole, want)
			}
		}
	})
}

type chunkReader struct {
	rest []byte
	size int
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.size)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func decodeDocs(t *testing.T, docs []string) (all []any) {
	for _, doc := range docs {
		all = append(all, decodeNext(t, json.NewDecoder(strings.NewReader(doc))))
	}
	return all
}

func decodeAll(t *testing.T, kind PayloadKind, payload []byte) (all []any) {
	d := json.NewDecoder(bytes.NewReader(payload))
	for {
		if d.UseNumber(); kind == PayloadNDJSON && !d.More() {
			return all
		}
		v := decodeNext(t, d)
		if list, ok := v.([]any); ok && kind == PayloadJSON {
			return append(all, list...)
		}
		if all = append(all, v); kind == PayloadJSON {
			return all
		}
	}
}

func decodeNext(t *testing.T, d *json.Decoder) (v any) {
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
