package main

import (
	"encoding/json"
	"net/url"
	"strings"

	"miroir/conformance/generate"
)

// wrongValues stand in for good ones.
var wrongValues = []any{nil, "", "x", -1, 0, 1.5, 1e30, true, []any{}, []any{1}, []any{nil}, generate.Object{}, generate.Object{"a": 1}, "*", "🎉", strings.Repeat("long ", 300)}

// spoil makes a request wrong in one place, or only unusual.
func (c *conversation) spoil(q step) step {
	if q.path == "/export" { // to another address it would be tried again and again
		return q
	}
	encoded, isJSON := jsonOf(q.body)
	switch c.g.IntN(10) {
	case 0, 1, 2, 3:
		if isJSON {
			q.body = c.spoilValue(encoded)
		}
	case 4:
		q.body, q.header = c.spoilText(q.body), "application/json"
	case 5:
		q.path = withParameter(q.path, c.text("unknown=1", "limit=x", "offset=-1", "limit=", "limit=99999999999999999999", "limit=1&limit=2", "primaryKey=id&primaryKey=x", "=", "a[b]=c", "limit=1%00", "fields=", "offset=%EF%BC%91"))
	case 6:
		q.header = c.text(noContentType, "text/plain", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "json", " application/json", "application/json, text/plain")
		if q.body != nil {
			if _, raw := q.body.(string); !raw {
				text, _ := json.Marshal(q.body)
				q.body = string(text)
			}
		}
	case 7:
		q.path = c.spoilPath(q.path)
	case 8:
		q.encoding = c.text("gzip", "br", "deflate")
	default:
		q.auth = c.text("none", "wrong", keyOf(c.uid(c.g.IntN(4))))
	}
	return q
}

// jsonOf is a body as a tree of JSON values of its own.
func jsonOf(body any) (tree any, ok bool) {
	if _, raw := body.(string); raw || body == nil {
		return nil, false
	}
	text, err := json.Marshal(body)
	return tree, err == nil && json.Unmarshal(text, &tree) == nil
}

// spoilValue changes one place of a tree of JSON values.
func (c *conversation) spoilValue(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		if len(v) == 0 || c.g.Chance(10) {
			v[c.text("unknown", "_miroir", "limit", "q", "Uid", "filter")] = generate.Pick(c.g, wrongValues)
			return v
		}
		name := generate.Pick(c.g, sortedNames(v))
		switch c.g.IntN(4) {
		case 0:
			delete(v, name)
		case 1, 2:
			v[name] = generate.Pick(c.g, wrongValues)
		default:
			v[name] = c.spoilValue(v[name])
		}
		return v
	case []any:
		if len(v) == 0 || c.g.Chance(20) {
			return append(v, generate.Pick(c.g, wrongValues))
		}
		at := c.g.IntN(len(v))
		v[at] = c.spoilValue(v[at])
		return v
	}
	return generate.Pick(c.g, wrongValues)
}

// spoilText breaks the text of a body.
func (c *conversation) spoilText(body any) string {
	text, raw := body.(string)
	if !raw {
		encoded, _ := json.Marshal(body) // made of what JSON has
		text = string(encoded)
	}
	at := 0
	if len(text) > 0 {
		at = c.g.IntN(len(text))
	}
	switch c.g.IntN(6) {
	case 0:
		return text[:at]
	case 1:
		return text + c.text(",", "}", "x", " ", "\x00", "[]")
	case 2:
		return text[:at] + c.text("\"", ",", "{", "]", "\\", "\xff", " ", "0", "//") + text[at:]
	case 3:
		return " \n\t" + text
	case 4:
		return "\ufeff" + text
	}
	if strings.HasPrefix(text, "{\"") { // the first member twice
		if end := strings.Index(text, ":"); end > 0 {
			return text[:end+1] + "1," + text[1:]
		}
	}
	return ""
}

func withParameter(path, parameter string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameter
	}
	return path + "?" + parameter
}

// spoilPath writes a path in another way, which may mean the same.
func (c *conversation) spoilPath(path string) string {
	route, query, has := strings.Cut(path, "?")
	at := c.g.IntN(len(route))
	switch c.g.IntN(6) {
	case 0:
		route += "/"
	case 1:
		route = "/" + route
	case 2:
		route = strings.ToUpper(route)
	case 3:
		if route[at] != '%' && route[at] != '/' && route[at] != '{' {
			route = route[:at] + url.PathEscape("%")[:1] + strings.ToUpper(hexOf(route[at])) + route[at+1:]
		}
	case 4:
		route = route[:at] + "/" + route[at:]
	default:
		route += c.text("x", "/x", ";a=b", "%20", ".")
	}
	if has {
		route += "?" + query
	}
	return route
}

func hexOf(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}
