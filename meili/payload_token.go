package meili

import "bytes"

func indexByte(b []byte, c byte) int { return bytes.IndexByte(b, c) }

// number scans a number whose first byte was peeked at.
func (s *jsonScanner) number(c byte) *syntaxFailure {
	if c == '-' {
		s.take()
	}
	first, ok := s.peek()
	if ok {
		s.take()
	}
	if !isDigit(first) {
		return s.failHere("invalid number")
	}
	if c, _ = s.peek(); first == '0' && isDigit(c) {
		return s.failNext("invalid number")
	}
	s.digits()
	if c, _ = s.peek(); c == '.' {
		s.take()
		if s.digits() == 0 {
			return s.failNext("invalid number")
		}
	}
	if c, _ = s.peek(); c == 'e' || c == 'E' {
		return s.exponent()
	}
	return nil
}

func (s *jsonScanner) exponent() *syntaxFailure {
	s.take()
	if c, _ := s.peek(); c == '+' || c == '-' {
		s.take()
	}
	c, ok := s.peek()
	if ok {
		s.take()
	}
	if !isDigit(c) {
		return s.failHere("invalid number")
	}
	s.digits()
	return nil
}

func (s *jsonScanner) digits() (n int) {
	for {
		c, ok := s.peek()
		if !ok || !isDigit(c) {
			return n
		}
		s.take()
		n++
	}
}

// string scans a string whose opening quote was peeked at. Whether its escapes make sense is not looked at, only that
// they are well formed.
func (s *jsonScanner) string() *syntaxFailure {
	s.take()
	for {
		if s.pos == s.end && !s.fill() {
			return s.failHere("EOF while parsing a string")
		}
		chunk := s.buf[s.pos:s.end]
		n := plainPrefix(chunk)
		s.doc = append(s.doc, chunk[:n]...)
		if s.keepAll {
			s.verbatim = append(s.verbatim, chunk[:n]...)
		}
		s.pos += n
		if n == len(chunk) {
			continue
		}
		switch chunk[n] {
		case '"':
			s.take()
			return nil
		case '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default:
			return s.failHere("control character (\\u0000-\\u001F) found while parsing a string")
		}
	}
}

// plainPrefix counts the bytes before the first quote, backslash or control character.
func plainPrefix(b []byte) int {
	for i, c := range b {
		if c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return len(b)
}

func (s *jsonScanner) escape() *syntaxFailure {
	s.take()
	c, ok := s.peek()
	if !ok {
		return s.failHere("EOF while parsing a string")
	}
	s.take()
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		return s.hexEscape()
	}
	return s.failHere("invalid escape")
}

// hexEscape takes four bytes before it judges any.
func (s *jsonScanner) hexEscape() *syntaxFailure {
	valid := true
	for range 4 {
		c, ok := s.peek()
		if !ok {
			return s.failHere("EOF while parsing a string")
		}
		s.take()
		valid = valid && isHex(c)
	}
	if !valid {
		return s.failHere("invalid escape")
	}
	return nil
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
