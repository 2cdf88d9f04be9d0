package devnode

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"miroir/meili"
)

// answer is a complete HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// respond answers with a value as JSON.
func respond(status int, v any) answer {
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: encode(v)}
}

// empty answers with a status alone.
func empty(status int) answer { return answer{status: status, header: http.Header{}} }

// failure answers with an error object.
func failure(err *meili.Error) answer {
	a := respond(err.Status, err)
	if err.Status == http.StatusServiceUnavailable {
		a.header.Set("Retry-After", "10")
	}
	return a
}

// write sends the answer. A Content-Length that is set already stays.
func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	w.Write(a.body)
}

// encode returns the JSON text of a value without escaping HTML. Values come from this package and package meili and
// always have one, so a failure is a broken invariant.
func encode(v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// object is a JSON object that keeps the order of its members.
type object []member

// member is one name and value of an object.
type member struct {
	name  string
	value any
}

// MarshalJSON prints the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = meili.AppendString(out, m.name)
		out = append(out, ':')
		out = append(out, encode(m.value)...)
	}
	return append(out, '}'), nil
}

// set returns the object with a member set, in its place when it was there and at the end otherwise.
func (o object) set(name string, value any) object {
	out := make(object, 0, len(o)+1)
	found := false
	for _, m := range o {
		if m.name == name {
			m.value, found = value, true
		}
		out = append(out, m)
	}
	if !found {
		out = append(out, member{name, value})
	}
	return out
}

// get returns the value of a member, nil when there is none.
func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}
