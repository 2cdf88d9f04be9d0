package meili

import "strings"

var logModes = []string{"human", "json", "profile"}

// CheckLogStream refuses a body of POST /logs/stream that is not right. Errors: bad_request, and
// invalid_settings_typo_tolerance, as Meilisearch has it, for memory that is profiled in another mode than profile.
func CheckLogStream(body []byte) *Error {
	mode, memory := logModes[0], false
	err := DecodeBody(body, []Field{
		{Name: "target", Decode: checkLogTarget}, {Name: "mode", Decode: Into(&mode, ReadEnum(logModes...))}, {Name: "profileMemory", Decode: Into(&memory, ReadBool)},
	})
	if err != nil || !memory || mode == "profile" {
		return err
	}
	return BodyRoot(CodeInvalidSettingsTypoTolerance).Invalid("`profile_memory` can only be used while profiling code and is not compatible with the " +
		strings.ToUpper(mode[:1]) + mode[1:] + " mode.")
}

// CheckLogTarget refuses a body of POST /logs/stderr that is not right. Error: bad_request.
func CheckLogTarget(body []byte) *Error {
	return DecodeBody(body, []Field{{Name: "target", Decode: checkLogTarget}})
}

// checkLogTarget reads a list of directives as the crate tracing-subscriber 0.3 does (filter/directive.rs).
func checkLogTarget(v *Value, at *Location) *Error {
	text, err := ReadString(v, at)
	if err != nil {
		return err
	}
	if text == "" {
		return at.Invalid("Empty string is not a valid target. If you want to get no logs use `OFF`. Usage: `info`, `meilisearch=info`, or you can write multiple filters in one target: `index_scheduler=info,milli=trace`")
	}
	for directive := range strings.SplitSeq(text, ",") {
		if problem := logDirectiveProblem(directive); problem != "" {
			return at.Invalid(problem)
		}
	}
	return nil
}

func logDirectiveProblem(directive string) string {
	parts := strings.Split(directive, "=")
	if len(parts) == 1 {
		return "" // a level or a target
	}
	fields := strings.Split(parts[0], "[{")
	switch {
	case len(parts) > 2:
		return "invalid filter directive: too many '=' in filter directive, expected 0 or 1"
	case len(fields) > 2:
		return "invalid filter directive: too many '[{' in filter directive, expected 0 or 1"
	case len(fields) == 2 && !strings.HasSuffix(fields[1], "}]"):
		return "invalid filter directive: expected fields list to end with '}]'"
	}
	switch level := strings.ToLower(parts[1]); level {
	case "", "off", "error", "warn", "info", "debug", "trace", "0", "1", "2", "3", "4", "5":
		return ""
	}
	return `error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5`
}
