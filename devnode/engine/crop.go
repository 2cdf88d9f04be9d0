package engine

// cropper finds the part of a text to show.
type cropper struct {
	tokens  []token
	matches []textMatch
	size    int // in words
}

// bounds are the bytes of the text to show.
func (c *cropper) bounds(length int) (start, end int) {
	before, after, left, forward := 0, 0, c.size, true
	if len(c.matches) > 0 {
		first, last := c.bestInterval()
		words := last.lastWord - first.firstWord + 1
		if words < 0 { // no stretch fits, and Meilisearch's subtraction wraps around
			return 0, length
		}
		forward = c.size >= words
		left = c.size - words
		if !forward {
			left = -left
		}
		if words > 0 {
			after = min(last.lastToken+1, len(c.tokens))
		}
		if forward {
			before = first.firstToken
		}
	}
	g := cropWindow{tokens: c.tokens, before: before, after: after, forward: forward}
	g.grow(left)
	return g.bytes(length)
}

// cropWindow is the window of tokens [before, after) while it grows on both sides. When the only match is a phrase longer
// than the crop the right side goes backwards instead, to cut the phrase.
type cropWindow struct {
	tokens        []token
	before, after int
	forward       bool
}

// left is the token before the window, nil at the start of the text.
func (g *cropWindow) left() *token {
	if g.before == 0 {
		return nil
	}
	return &g.tokens[g.before-1]
}

// right is the token after the window, nil at the end of the text.
func (g *cropWindow) right() *token {
	if g.after < 0 || g.after >= len(g.tokens) {
		return nil
	}
	return &g.tokens[g.after]
}

func (g *cropWindow) takeRight() {
	if g.forward {
		g.after++
	} else {
		g.after--
	}
}

// grow takes in words on both sides until there are enough. At separators the side of the softer one goes first.
func (g *cropWindow) grow(words int) {
	for words > 0 {
		left, right := g.left(), g.right()
		switch {
		case left == nil && right == nil:
			return
		case left == nil:
			g.takeRight()
			if !right.isSeparator() {
				words--
			}
		case right == nil:
			g.before--
			if !left.isSeparator() {
				words--
			}
		case left.isSeparator() && right.isSeparator():
			switch {
			case left.kind == right.kind:
				g.before--
				if words > 1 { // no separator before the marker
					g.takeRight()
				}
			case left.kind == hardSeparator:
				g.takeRight()
			default:
				g.before--
			}
		case right.isSeparator():
			g.before--
			words--
		case left.isSeparator():
			g.takeRight()
			words--
		default:
			g.before--
			if words--; words > 0 {
				g.takeRight()
				words--
			}
		}
	}
}

func (g *cropWindow) bytes(length int) (start, end int) {
	end = length
	if t := g.left(); t != nil {
		start = t.byteEnd
	}
	if t := g.right(); t != nil {
		end = t.byteStart
	}
	return start, end
}

// intervalScore ranks intervals: distinct words of the query, nearness, words in the order of the query.
type intervalScore [3]int

func (s intervalScore) better(than intervalScore) bool {
	for i := range s {
		if s[i] != than[i] {
			return s[i] > than[i]
		}
	}
	return false
}

// bestInterval is the first and last match of the best stretch of matches that fits the crop.
func (c *cropper) bestInterval() (first, last *textMatch) {
	var best *intervalScore
	bestFirst, bestLast := 0, 0
	save := func(from, to int) {
		if score := scoreInterval(c.matches[from : to+1]); best == nil || score.better(*best) {
			best, bestFirst, bestLast = &score, from, to
		}
	}
	from := 0
	start := c.matches[0].firstWord
	for i := range c.matches {
		end := c.matches[i].lastWord
		if end-start < c.size {
			continue
		}
		if i != 0 {
			save(from, i-1)
		}
		for {
			if from++; from == len(c.matches) {
				from--
				break
			}
			if start = c.matches[from].firstWord; start > end || end-start < c.size {
				break
			}
		}
	}
	if to := len(c.matches) - 1; from != to || c.matches[from].numWords() < c.size {
		save(from, to)
	}
	return &c.matches[bestFirst], &c.matches[bestLast]
}

func scoreInterval(matches []textMatch) intervalScore {
	var score intervalScore
	seen := map[uint16]bool{}
	for i := range matches {
		m := &matches[i]
		inside := m.lastWord - m.firstWord // the words of a phrase are ordered neighbours
		score[2] += inside
		score[1] -= inside
		if i+1 < len(matches) {
			next := &matches[i+1]
			if next.ids[0] > m.ids[0] {
				score[2]++
			}
			score[1] -= min(next.firstWord-m.lastWord, 7)
		}
		for _, id := range m.ids {
			seen[id] = true
		}
	}
	score[0] = len(seen)
	return score
}
