package meili

import (
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// filterFault names what is wrong with a filter expression.
type filterFault uint8

const (
	faultOther              filterFault = iota // an alternative did not match; never shown
	faultExpectedValue                         // no value where one must be
	faultKeywordValue                          // a reserved word where a value must be
	faultMalformedValue                        // a bad escape
	faultEscapedNumber                         // an escape with a bad number
	faultUnclosed                              // delimiter tells which
	faultNoOperation                           // nothing that tests anything
	faultTrailing                              // text behind the filter
	faultIncomplete                            // an escape cut short
	faultForeign                               // malformed _foreign(…)
	faultReservedGeo                           // word tells which
	faultGeoRadius                             // malformed
	faultGeoRadiusArguments                    // count
	faultGeoBoundingBox                        // malformed
	faultGeoPolygon                            // malformed
	faultGeoPolygonPoints                      // count
	faultGeoPair                               // count
	faultMisusedGeoRadius                      // as a value
	faultMisusedBoundingBox                    // as a value
	faultInOpening                             // no [ behind IN
	faultInClosing                             // no ]
	faultInValue                               // something else than a value in the list
	faultDepth                                 // nested too deep
	faultVectorLeftover                        // of _vectors filters, down to the last
	faultVectorQuotes                          //
	faultVectorNoEmbedder                      //
	faultVectorEmbedder                        //
	faultVectorNoFragment                      //
	faultVectorFragment                        //
	faultVectorSuffix                          // word, after
	faultVectorOperation                       //
)

// filterFail is a failure at a place of the expression. One that is not fatal lets other alternatives try.
type filterFail struct {
	fault      filterFault
	source     *filterText
	start, end int
	fatal      bool
	delimiter  byte
	count      int
	word       string
	after      string
}

const filterOperations = "`=`, `!=`, `>=`, `>`, `<=`, `<`, `IN`, `NOT IN`, `TO`, `EXISTS`, `NOT EXISTS`, `IS NULL`, `IS NOT NULL`, `IS EMPTY`, `IS NOT EMPTY`, " +
	"`CONTAINS`, `NOT CONTAINS`, `STARTS WITH`, `NOT STARTS WITH`, `_geoRadius`, `_geoBoundingBox` or `_geoPolygon`"

// message is the text of the error: what is wrong on the first line, where on the second.
func (f *filterFail) message() string {
	return f.what() + "\n" + f.source.position(f.start, f.end)
}

func (f *filterFail) what() string {
	input := f.source.text[f.start:f.end]
	escaped := rustEscape(input)
	blank := strings.TrimSpace(input) == ""
	switch f.fault {
	case faultExpectedValue, faultKeywordValue:
		switch {
		case blank:
			return "Was expecting a value but instead got nothing."
		case f.fault == faultKeywordValue:
			return "Was expecting a value but instead got `" + escaped + "`, which is a reserved keyword. To use `" + escaped + "` as a field name or a value, surround it by quotes."
		}
		return "Was expecting a value but instead got `" + escaped + "`."
	case faultMalformedValue:
		return "Malformed value: `" + escaped + "`."
	case faultEscapedNumber:
		return "Found an invalid escaped sequence number: `" + escaped + "`."
	case faultUnclosed:
		return "Expression `" + escaped + "` is missing the following closing delimiter: `" + string(f.delimiter) + "`."
	case faultTrailing:
		return "Found unexpected characters at the end of the filter: `" + escaped + "`. You probably forgot an `OR` or an `AND` rule."
	case faultIncomplete:
		return "The filter is incomplete and requires Unknown additional bytes to be parsed."
	case faultForeign:
		return "Was expecting a field name and an condition inside `_foreign(..)` filter but instead found `" + escaped + "`."
	case faultInOpening:
		return "Expected `[` after `IN` keyword."
	case faultInClosing:
		return "Expected matching `]` after the list of field names given to `IN[`"
	case faultInValue:
		return "Expected only comma-separated field names inside `IN[..]` but instead found `" + escaped + "`."
	case faultDepth:
		return "The filter exceeded the maximum depth limit. Try rewriting the filter so that it contains fewer nested conditions."
	case faultNoOperation:
		if blank {
			return "Was expecting an operation " + filterOperations + " but instead got nothing."
		}
		return "Was expecting an operation " + filterOperations + " at `" + escaped + "`."
	}
	if f.fault >= faultVectorLeftover {
		return f.whatOfVectors()
	}
	return f.whatOfGeo()
}

func (f *filterFail) whatOfGeo() string {
	switch f.fault {
	case faultReservedGeo:
		return "`" + f.word + "` is a reserved keyword and thus can't be used as a filter expression. Use the `_geoRadius(latitude, longitude, distance)` or " +
			"`_geoBoundingBox([latitude, longitude], [latitude, longitude])` built-in rules to filter on `_geo` coordinates."
	case faultGeoRadius:
		return "The `_geoRadius` filter must be in the form: `_geoRadius(latitude, longitude, radius, optionalResolution)`."
	case faultGeoRadiusArguments:
		return "Was expecting 3 or 4 arguments for `_geoRadius`, but instead found " + itoa(f.count) + "."
	case faultGeoBoundingBox:
		return "The `_geoBoundingBox` filter expects two pairs of arguments: `_geoBoundingBox([latitude, longitude], [latitude, longitude])`."
	case faultGeoPolygon:
		return "The `_geoPolygon` filter doesn't match the expected format: `_geoPolygon([latitude, longitude], [latitude, longitude])`."
	case faultGeoPolygonPoints:
		return "The `_geoPolygon` filter expects at least 3 points but only " + itoa(f.count) + " were specified"
	case faultGeoPair:
		return "Was expecting 2 coordinates but instead found " + itoa(f.count) + "."
	case faultMisusedGeoRadius:
		return "The `_geoRadius` filter is an operation and can't be used as a value."
	case faultMisusedBoundingBox:
		return "The `_geoBoundingBox` filter is an operation and can't be used as a value."
	}
	return "Encountered an internal error while parsing your filter."
}

func (f *filterFail) whatOfVectors() string {
	switch f.fault {
	case faultVectorLeftover:
		return "The vector filter has leftover tokens."
	case faultVectorQuotes:
		return "The quotes in one of the values are inconsistent."
	case faultVectorNoEmbedder:
		return "Was expecting embedder name but found nothing."
	case faultVectorEmbedder:
		return "The vector filter's embedder name is invalid."
	case faultVectorNoFragment:
		return "The vector filter is missing a fragment name."
	case faultVectorFragment:
		return "The vector filter's fragment name is invalid."
	case faultVectorOperation:
		return "Was expecting an operation like `EXISTS` or `NOT EXISTS` after the vector filter."
	}
	return f.whatOfVectorSuffix()
}

func (f *filterFail) whatOfVectorSuffix() string {
	parts := []string{"fragments", "userProvided", "documentTemplate", "regenerate"}
	if f.word == "." {
		return "Was expecting one of `.fragments`, `.userProvided`, `.documentTemplate`, `.regenerate` or nothing, but instead found a point without a valid value."
	}
	if f.after != "" {
		return "Vector filter can only accept one of `fragments`, `userProvided`, `documentTemplate` or `regenerate`, but found both `" + f.after + "` and `" + f.word + "`."
	}
	suggestion := ""
	for _, part := range parts {
		if part == f.word {
			return "Was expecting this part to be unquoted."
		}
		if suggestion == "" && damerauLevenshtein([]rune(f.word), []rune(part)) <= 2 {
			suggestion = " Did you mean `" + part + "`?"
		}
	}
	return "Was expecting one of `fragments`, `userProvided`, `documentTemplate`, `regenerate` or nothing, but instead found `" + f.word + "`." + suggestion
}
