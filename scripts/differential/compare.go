package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// masked are members whose values no two servers share. That they are there, and whether they are null, is compared.
var masked = []string{
	"processingTimeMs", "requestUid", "queryUid", "enqueuedAt", "startedAt", "finishedAt", "createdAt", "updatedAt", "duration", "lastUpdate",
	"databaseSize", "usedDatabaseSize", "rawDocumentDbSize", "avgDocumentSize", "progressTrace", "writeChannelCongestion",
	"batchStrategy", "dumpUid", "version", "commitSha", "commitDate", "preCompactionSize", "postCompactionSize",
}

// leaf is one value of an answer with the way to it.
type leaf struct{ path, value string }

// flatten lists the values of a JSON text in their order. A text that is no JSON is one leaf.
func flatten(text []byte) []leaf {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var leaves []leaf
	if err := flattenValue(d, "", &leaves); err != nil {
		return []leaf{{"", string(text)}}
	}
	if _, err := d.Token(); err != io.EOF {
		return []leaf{{"", string(text)}}
	}
	return leaves
}

func flattenValue(d *json.Decoder, path string, leaves *[]leaf) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return flattenObject(d, path, leaves)
		}
		return flattenArray(d, path, leaves)
	case nil:
		*leaves = append(*leaves, leaf{path, "null"})
	case string:
		*leaves = append(*leaves, leaf{path, strconv.Quote(v)})
	default:
		*leaves = append(*leaves, leaf{path, fmt.Sprint(v)})
	}
	return nil
}

func flattenObject(d *json.Decoder, path string, leaves *[]leaf) error {
	before := len(*leaves)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		at := len(*leaves)
		if err := flattenValue(d, path+"."+fmt.Sprint(name), leaves); err != nil {
			return err
		}
		if name == "internalDatabaseSizes" { // is there when a table took another page
			*leaves = (*leaves)[:at]
			continue
		}
		if slices.Contains(masked, fmt.Sprint(name)) && len(*leaves) > at && (*leaves)[at].value != "null" {
			*leaves = append((*leaves)[:at], leaf{path + "." + fmt.Sprint(name), "(a value)"})
		}
	}
	if len(*leaves) == before {
		*leaves = append(*leaves, leaf{path, "{}"})
	}
	_, err := d.Token()
	return err
}

func flattenArray(d *json.Decoder, path string, leaves *[]leaf) error {
	i := 0
	for ; d.More(); i++ {
		if err := flattenValue(d, path+"."+strconv.Itoa(i), leaves); err != nil {
			return err
		}
	}
	if i == 0 {
		*leaves = append(*leaves, leaf{path, "[]"})
	}
	_, err := d.Token()
	return err
}

// inDocument is the way to a member of a document. Their order is that in which a server first met the fields, which says
// nothing to clients.
var inDocument = regexp.MustCompile(`\.(hits|results)\.\d+\.`)

// differ lists where two answers differ. Members must be in the same order, save for those of documents.
func differ(want, got []byte) []string {
	wanted, given := flatten(want), flatten(got)
	known := map[string]string{}
	for _, l := range given {
		known[l.path] = l.value
	}
	var found []string
	paths := map[string]bool{}
	for _, l := range wanted {
		paths[l.path] = true
		value, there := known[l.path]
		switch {
		case !there:
			found = append(found, fmt.Sprintf("%s: want %s, got nothing", l.path, short(l.value)))
		case !sameValue(l.value, value):
			found = append(found, fmt.Sprintf("%s: want %s, got %s", l.path, short(l.value), short(value)))
		}
	}
	for _, l := range given {
		if !paths[l.path] {
			found = append(found, fmt.Sprintf("%s: want nothing, got %s", l.path, short(l.value)))
		}
	}
	if len(found) > 0 {
		return found
	}
	outside := func(l leaf) bool { return inDocument.MatchString(l.path) }
	wanted, given = slices.DeleteFunc(wanted, outside), slices.DeleteFunc(given, outside)
	for i := range wanted {
		if wanted[i].path != given[i].path {
			return []string{fmt.Sprintf("order: want %s, got %s", wanted[i].path, given[i].path)}
		}
	}
	return nil
}

// tolerance is how far two numbers may be apart, relative to the larger one: sums of the same terms in another order.
const tolerance = 1e-9

func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	x, err := strconv.ParseFloat(a, 64)
	if err != nil || !strings.Contains(a, ".") {
		return false
	}
	y, err := strconv.ParseFloat(b, 64)
	return err == nil && strings.Contains(b, ".") && math.Abs(x-y) <= tolerance*max(math.Abs(x), math.Abs(y))
}

func short(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}
