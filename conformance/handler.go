package conformance

import (
	"net/http"
	"net/http/httptest"
)

// Handler returns a transport that asks an http.Handler in this process, whatever host a request names.
func Handler(h http.Handler) http.RoundTripper { return handlerTransport{h} }

type handlerTransport struct{ handler http.Handler }

// RoundTrip serves the request and returns the recorded answer.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	inner := r.Clone(r.Context())
	inner.RequestURI = r.URL.RequestURI()
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	t.handler.ServeHTTP(recorder, inner)
	response := recorder.Result()
	response.Request = r
	return response, nil
}
