package meili

import (
	"net/http"
	"testing"
)

// checkError compares a code and a message; an empty code means no error.
func checkError(t *testing.T, name string, got *Error, code Code, message string) {
	t.Helper()
	switch {
	case got == nil && code == "":
	case got == nil:
		t.Errorf("%s: no error, want %s: %s", name, code, message)
	case got.Code != code || got.Message != message:
		t.Errorf("%s:\n got %s: %s\nwant %s: %s", name, got.Code, got.Message, code, message)
	}
}

func TestDescribeKinds(t *testing.T) {
	f := func(want string, kinds ...Kind) {
		t.Helper()
		if got := describeKinds(kinds); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f("a different value")
	f("a boolean", KindBool)
	f("a boolean or a positive integer", KindUint, KindBool)
	f("an integer", KindInt, KindUint)
	f("a number", KindFloat, KindUint, KindInt)
	f("a number", KindUint, KindFloat)
	f("a positive integer or a string", KindString, KindUint)
	f("null, a boolean, or a number", KindNull, KindBool, KindUint, KindFloat, KindInt, KindNull)
}

func TestDidYouMean(t *testing.T) {
	f := func(received, want string, accepted ...string) {
		t.Helper()
		if want != "" {
			want = "did you mean `" + want + "`? "
		}
		if got := didYouMean(received, accepted); got != want {
			t.Errorf("%s: got %q, want %q", received, got, want)
		}
	}
	f("filler", "filter", "q", "filter", "sort")
	f("sart", "sort", "q", "filter", "sort")
	f("srot", "sort", "sort")
	f("lim", "", "limit")
	f("filterable", "", "filter")
	f("attributes_to_highlight", "attributesToHighlight", "q", "attributesToHighlight")
	f("offsets", "offset", "offset", "offsetx")
}

func TestBodyErrors(t *testing.T) {
	f := func(body string, code Code, message string) {
		t.Helper()
		_, err := DecodeSearch([]byte(body))
		checkError(t, body, err, code, message)
	}
	f("", CodeMissingPayload, "A json payload is missing.")
	f("{", CodeMalformedPayload, "The json payload provided is malformed. `EOF while parsing an object at line 1 column 1`.")
	f("[]", CodeBadRequest, "Invalid value type: expected an object, but found an array: `[]`")
	f("null", CodeBadRequest, "Invalid value type: expected an object, but found null")
	f(`{"limit":null}`, CodeInvalidSearchLimit, "Invalid value type at `.limit`: expected a positive integer, but found null")
	f(`{"limit":-1}`, CodeInvalidSearchLimit, "Invalid value type at `.limit`: expected a positive integer, but found a negative integer: `-1`")
	f(`{"sort":["a",{"b":1.0}]}`, CodeInvalidSearchSort, "Invalid value type at `.sort[1]`: expected a string, but found an object: `{\"b\":1.0}`")
	f(`{"page":null,"q":null}`, "", "")
}

func TestFirstErrorInTheTextWins(t *testing.T) {
	_, err := DecodeSearch([]byte(`{"q":"a","sort":1,"limit":"x","zzzz":1}`))
	checkError(t, "order", err, CodeInvalidSearchSort, "Invalid value type at `.sort`: expected an array, but found a positive integer: `1`")
}

func TestJSONContentType(t *testing.T) {
	f := func(contentType string, code Code, message string) {
		t.Helper()
		checkError(t, contentType, CheckJSONContentType(http.Header{"Content-Type": {contentType}}), code, message)
	}
	checkError(t, "none", CheckJSONContentType(nil), CodeMissingContentType, "A Content-Type header is missing. Accepted values for the Content-Type header are: `application/json`")
	f("application/json", "", "")
	f("Application/JSON; charset=utf-8", "", "")
	f("application/vnd.api+json", "", "")
	f("", CodeInvalidContentType, "The Content-Type `` is invalid. Accepted values for the Content-Type header are: `application/json`")
	f("text/plain", CodeInvalidContentType, "The Content-Type `text/plain` is invalid. Accepted values for the Content-Type header are: `application/json`")
}

func TestIndexUID(t *testing.T) {
	for uid, ok := range map[string]bool{"a": true, "A-1_z": true, "": false, "a b": false, "é": false, "a*": false, string(make([]byte, 401)): false} {
		if err := CheckIndexUID(uid); (err == nil) != ok {
			t.Errorf("%q: %v", uid, err)
		}
	}
	for _, c := range []struct {
		pattern, uid string
		want         bool
	}{{"*", "m", true}, {"mov*", "movies", true}, {"mov*", "mo", false}, {"m", "m", true}, {"m", "mm", false}} {
		if got := IndexPatternMatches(c.pattern, c.uid); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
