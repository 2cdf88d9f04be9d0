package engine

import (
	"fmt"
	"testing"
)

func TestHighlightAndCrop(t *testing.T) {
	ix := newIndex(t, "", `{"id": 1, "t": "The summer house by the sea, and a house in the hills. Houses everywhere!", "n": 42, "o": {"list": ["house", 7, null]}}`)
	f := func(body, want string) {
		t.Helper()
		expect(t, body, string(search(t, ix, body).Hits[0].Formatted), want)
	}
	f(`{"q": "house", "attributesToHighlight": ["t"], "attributesToRetrieve": ["id"]}`,
		`{"id":"1","t":"The summer <em>house</em> by the sea, and a <em>house</em> in the hills. <em>House</em>s everywhere!"}`)
	f(`{"q": "hous", "attributesToHighlight": ["o"], "highlightPreTag": "[", "highlightPostTag": "]", "attributesToRetrieve": []}`, `{"o":{"list":["[hous]e","7",null]}}`)
	f(`{"q": "house sea", "attributesToCrop": ["t:4"], "cropMarker": "~", "attributesToRetrieve": []}`, `{"t":"~house by the sea~"}`)
	f(`{"q": "", "attributesToCrop": ["t"], "cropLength": 2, "attributesToRetrieve": []}`, `{"t":"The summer…"}`)
	f(`{"q": "summer \"in the hills\"", "attributesToCrop": ["t"], "cropLength": 2, "attributesToHighlight": ["t"], "attributesToRetrieve": []}`, `{"t":"The <em>summer</em>…"}`)
	f(`{"q": "42", "attributesToHighlight": ["n"], "attributesToRetrieve": []}`, `{"n":"<em>42</em>"}`)
	f(`{"q": "house", "attributesToHighlight": ["nope"]}`, ``)
}

func TestMatchesPosition(t *testing.T) {
	ix := newIndex(t, "", `{"id": 1, "t": "élan vital, élans", "l": ["vital", "no", "vital"]}`)
	r := search(t, ix, `{"q": "elan", "showMatchesPosition": true}`)
	expect(t, "bytes of the original", string(r.Hits[0].Matches), `{"t":[{"start":0,"length":5},{"start":13,"length":5}]}`)
	r = search(t, ix, `{"q": "vital", "showMatchesPosition": true}`)
	expect(t, "the last element counts", string(r.Hits[0].Matches), `{"l":[{"start":0,"length":5,"indices":[2]}],"t":[{"start":6,"length":5}]}`)
}

func TestHiddenAttributes(t *testing.T) {
	ix := newIndex(t, `{"displayedAttributes": ["id", "t"], "sortableAttributes": ["secret"]}`, `{"id": 1, "t": "a", "secret": 3}`)
	r := search(t, ix, `{"q": "3", "sort": ["secret:asc"], "showRankingScoreDetails": true, "attributesToHighlight": ["*"], "showMatchesPosition": true}`)
	expect(t, "document", string(r.Hits[0].Object(nil)[:60]), `{"id":1,"t":"a","_formatted":{"id":"1","t":"a"},"_matchesPos`)
	expect(t, "sort", ranked(t, r, "<hidden-rule-4>", "value"), "1=<hid")
}

func TestPaging(t *testing.T) {
	var documents []string
	for i := range 30 {
		documents = append(documents, fmt.Sprintf(`{"id": %d}`, i))
	}
	ix := newIndex(t, `{"pagination": {"maxTotalHits": 25}}`, documents...)
	f := func(body, want string) {
		t.Helper()
		r := search(t, ix, body)
		expect(t, body, fmt.Sprintf("%s of %d in %d", ids(r), r.TotalHits, r.TotalPages), want)
	}
	f(`{"offset": 23}`, "23 24 of 30 in 0")
	f(`{"page": 3, "hitsPerPage": 12}`, "24 of 30 in 3")
	f(`{"page": 0}`, " of 30 in 2")
	f(`{"hitsPerPage": 0}`, " of 30 in 0")
	f(`{"limit": 0}`, " of 30 in 0")
}
