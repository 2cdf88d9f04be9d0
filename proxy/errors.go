package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"miroir/meili"
)

// errorDocs is where the link of one of Miroir's own errors points, in its documentation; the code is its anchor.
const errorDocs = "docs/errors.md#"

// Miroir's own error codes: situations a single server cannot be in. See docs/errors.md.
const (
	codeNoQuorum             meili.Code = "miroir_no_quorum"
	codeNoLeader             meili.Code = "miroir_no_leader"
	codeShardUnavailable     meili.Code = "miroir_shard_unavailable"
	codeOverloaded           meili.Code = "miroir_overloaded"
	codeSettingsVersionStale meili.Code = "miroir_settings_version_stale"
	codeSettingsFrozen       meili.Code = "miroir_settings_frozen"
	codeReservedField        meili.Code = "miroir_reserved_field"
	codeTooManyQueries       meili.Code = "miroir_too_many_queries"
	codeTopologyConflict     meili.Code = "miroir_topology_conflict"
	codeOperationInProgress  meili.Code = "miroir_operation_in_progress"
	codePreconditionFailed   meili.Code = "miroir_precondition_failed"
	codeInvalidAuth          meili.Code = "miroir_invalid_auth"
	codeJWTInvalid           meili.Code = "miroir_jwt_invalid"
	codeJWTScopeDenied       meili.Code = "miroir_jwt_scope_denied"
	codeNotFound             meili.Code = "miroir_not_found"
	codeFeatureDisabled      meili.Code = "miroir_feature_disabled"
	codeInvalidArgument      meili.Code = "miroir_invalid_argument"
	codeUnsupported          meili.Code = "miroir_unsupported"
)

var miroirCodes = map[meili.Code]struct {
	status int
	kind   string
}{
	codeNoQuorum:             {http.StatusServiceUnavailable, "system"},
	codeNoLeader:             {http.StatusServiceUnavailable, "system"},
	codeShardUnavailable:     {http.StatusServiceUnavailable, "system"},
	codeOverloaded:           {http.StatusServiceUnavailable, "system"},
	codeSettingsVersionStale: {http.StatusServiceUnavailable, "system"},
	codeSettingsFrozen:       {http.StatusServiceUnavailable, "system"},
	codeReservedField:        {http.StatusBadRequest, "invalid_request"},
	codeTooManyQueries:       {http.StatusBadRequest, "invalid_request"},
	codeTopologyConflict:     {http.StatusConflict, "invalid_request"},
	codeOperationInProgress:  {http.StatusConflict, "invalid_request"},
	codePreconditionFailed:   {http.StatusPreconditionFailed, "invalid_request"},
	codeInvalidAuth:          {http.StatusUnauthorized, "auth"},
	codeJWTInvalid:           {http.StatusUnauthorized, "auth"},
	codeJWTScopeDenied:       {http.StatusForbidden, "auth"},
	codeNotFound:             {http.StatusNotFound, "invalid_request"},
	codeFeatureDisabled:      {http.StatusNotFound, "invalid_request"},
	codeInvalidArgument:      {http.StatusBadRequest, "invalid_request"},
	codeUnsupported:          {http.StatusNotImplemented, "invalid_request"},
}

// miroirError builds one of Miroir's own errors in Meilisearch's shape.
func miroirError(code meili.Code, format string, args ...any) *meili.Error {
	known := miroirCodes[code]
	return &meili.Error{
		Message: fmt.Sprintf(format, args...), Code: code, Type: known.kind,
		Link: errorDocs + string(code), Status: known.status,
	}
}

// asError turns any error into the one the client sees. What is not a *meili.Error was not foreseen: it is
// logged by the caller with its text and answered as internal.
func asError(err error) *meili.Error {
	var known *meili.Error
	if errors.As(err, &known) {
		return known
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return payloadTooLarge(tooLarge.Limit)
	}
	if isDiskFull(err) {
		return diskFull(err.Error())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return miroirError(codeOverloaded, "The request ran out of time before the nodes had answered. Retry later.")
	}
	return meili.Errorf("internal", "An internal error has occurred. `%s`.", err.Error())
}

func payloadTooLarge(limit int64) *meili.Error {
	return meili.Errorf("payload_too_large",
		"The provided payload reached the size limit. The maximum accepted payload size is %s.", formatBytes(limit))
}

// formatBytes prints a size as Meilisearch's message does: "100 MiB" or, for whole millions, "100 MB".
func formatBytes(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1e9, "GB"}, {1 << 20, "MiB"}, {1e6, "MB"}, {1 << 10, "KiB"}, {1e3, "kB"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// writeError answers err. A 503 or 429 of ours always says when to try again.
func writeError(w http.ResponseWriter, err *meili.Error) {
	status := err.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "10")
	}
	writeJSON(w, status, err)
}

// writeJSON answers value. A value that cannot be encoded is a defect of ours and becomes a 500.
func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"message":"the answer could not be encoded","code":"internal","type":"internal","link":""}`)
	}
	writeRawJSON(w, status, body)
}

// marshal is json.Marshal without the escaping of <, > and &, which Meilisearch leaves as they are.
func marshal(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

func writeRawJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body))) // or long answers would end in a write of their own
	w.WriteHeader(status)
	// The only error left is that the client has gone.
	_, _ = w.Write(body)
}
