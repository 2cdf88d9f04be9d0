package proxy

import (
	"bytes"

	"miroir/meili"
)

// cutFacets leaves of a node's facet lists what one server lists. body is the answer of a node that holds all of an index
// and lists more values than the client is to see (nodeFacetValues), in one server's order: what is too much stands at the
// end of the numbers and of the strings. No facets stand before from, which is between two
// members of it or before it. body is taken over. ok is
// false when more than the answer decides what is listed.
func cutFacets(body []byte, from int, settings *meili.Settings) (cut []byte, ok bool) {
	if !bytes.Contains(body[from:], []byte(`"facetDistribution"`)) { // much quicker than to look member by member
		return body, true
	}
	var stats []byte
	at := len(body) // of the distribution
	if from == 0 {
		from = skipSpace(body, 0) + 1
	}
	eachMemberFrom(body, from, func(m member) bool {
		switch string(m.key) {
		case "facetDistribution":
			at = m.value
		case "facetStats":
			stats = body[m.value:m.end]
		}
		return true
	})
	c := cutter{text: body, own: true}
	ok = settings.MaxValuesPerFacet() > 0
	eachMember(body, at, func(field member) bool {
		list := facetList{maxValues: settings.MaxValuesPerFacet(), byCount: settings.FacetSort(keyText(body, field)) == "count"}
		list.hasNumbers = memberOf(stats, string(field.key)) != nil
		ok = ok && c.facet(field.value, list)
		return ok
	})
	return c.rest(), ok
}

// facetList is what decides how much of a facet is listed; facetRules.order says how.
type facetList struct {
	maxValues           int
	hasNumbers, byCount bool
}

// facet cuts the list at text[at].
func (c *cutter) facet(at int, list facetList) (ok bool) {
	numNumbers, numStrings, kept := 0, 0, 0
	ok = true
	eachMember(c.text, at, func(value member) bool {
		stays := true
		switch {
		case list.hasNumbers && numStrings == 0 && isNumberText(keyText(c.text, value)):
			numNumbers++
			stays = numNumbers <= list.maxValues
		case numNumbers < list.maxValues:
			numStrings++
			stays = numNumbers+numStrings <= list.maxValues
		default: // all strings, or none if there are few candidates
			ok = list.byCount
		}
		if stays {
			kept = value.end
		} else {
			c.cut(max(kept, c.copied), value.end) // the first one stayed
		}
		return ok
	})
	return ok
}
