package meili

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// csvColumn is one column of a CSV header: a field name and the type its cells are read as.
type csvColumn struct {
	name  []byte // as a JSON string
	value []byte // JSON of the cell of the current record
	read  func(b []byte, cell string) ([]byte, error)
	first int // the first column of the same name: its place is where the last value goes
}

// splitCSV turns each record into an object whose members are the columns. Errors count records from 1, without header.
func splitCSV(delimiter byte, r io.Reader, emit func([]byte) error) error {
	if delimiter == 0 {
		delimiter = ','
	}
	reader := &csvReader{r: bufio.NewReaderSize(r, scanBufferBytes), delimiter: delimiter, line: 1}
	if _, err := reader.r.Peek(1); errors.Is(err, io.EOF) {
		return missingPayload(PayloadCSV)
	}
	header, err := reader.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	columns := csvColumns(header)
	var doc []byte
	for n := 1; ; n++ {
		record, err := reader.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if doc, err = csvDocument(doc[:0], columns, record, n); err != nil {
			return err
		}
		if err := emit(doc); err != nil {
			return err
		}
	}
}

// csvColumns reads names and types: "name:type", where an unknown type is part of the name.
func csvColumns(header []string) []csvColumn {
	columns := make([]csvColumn, len(header))
	firsts := map[string]int{}
	for i, cell := range header {
		name, read := cell, csvString
		if colon := strings.LastIndexByte(cell, ':'); colon >= 0 {
			switch cell[colon+1:] {
			case "string":
				name = cell[:colon]
			case "boolean":
				name, read = cell[:colon], csvBoolean
			case "number":
				name, read = cell[:colon], csvNumber
			}
		}
		first, known := firsts[name]
		if !known {
			first, firsts[name] = i, i
		}
		columns[i] = csvColumn{name: AppendString(nil, name), read: read, first: first}
	}
	return columns
}

func csvDocument(doc []byte, columns []csvColumn, record []string, n int) ([]byte, error) {
	for i := range columns {
		c := &columns[columns[i].first]
		var err error
		if c.value, err = columns[i].read(c.value[:0], record[i]); err != nil {
			return nil, malformedCSV(fmt.Sprintf("Error parsing %s %s at line %d: %s", csvKindOf(err), rustDebug(record[i]), n, err))
		}
	}
	doc = append(doc, '{')
	for i := range columns {
		if columns[i].first != i {
			continue
		}
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = append(append(append(doc, columns[i].name...), ':'), columns[i].value...)
	}
	return append(doc, '}'), nil
}

var (
	errCSVBoolean = errors.New("provided string was not `true` or `false`")
	errCSVNumber  = errors.New("invalid float literal")
)

func csvKindOf(err error) string {
	if errors.Is(err, errCSVBoolean) {
		return "boolean"
	}
	return "number"
}

func csvString(b []byte, cell string) ([]byte, error) {
	if cell == "" {
		return append(b, "null"...), nil
	}
	return AppendString(b, cell), nil
}

func csvBoolean(b []byte, cell string) ([]byte, error) {
	switch strings.TrimSpace(cell) {
	case "":
		return append(b, "null"...), nil
	case "true":
		return append(b, "true"...), nil
	case "false":
		return append(b, "false"...), nil
	}
	return nil, errCSVBoolean
}

func csvNumber(b []byte, cell string) ([]byte, error) {
	text := strings.TrimSpace(cell)
	if text == "" {
		return append(b, "null"...), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.AppendInt(b, n, 10), nil
	}
	f, ok := parseRustFloat(text)
	if !ok {
		return nil, errCSVNumber
	}
	return appendFloat(b, f), nil
}

// csvReader reads records as the Rust crate csv 1.4 does: quotes only count at the start of a cell, empty lines are
// skipped, lines end with \n, \r or \r\n, a quoted cell may end with the file. encoding/csv differs in the first two.
type csvReader struct {
	r         *bufio.Reader
	delimiter byte
	line      int64 // of the cursor
	bytes     int64 // read so far
	record    int64 // number of the next one; the header is 0
	width     int   // cells of the header, 0 before it is read
	cell      []byte
	cells     []string
}

// next reads one record; io.EOF behind the last. The slice is valid until the next call.
func (c *csvReader) next() ([]string, error) {
	if c.bytes == 0 {
		c.skipBOM()
	}
	line, start := c.line, c.bytes
	c.cells = c.cells[:0]
	if err := c.readRecord(); err != nil {
		return nil, err
	}
	for i, cell := range c.cells {
		if valid := validUTF8Prefix(cell); valid < len(cell) {
			return nil, malformedCSV(fmt.Sprintf("CSV parse error: record %d (line %d, field: %d, byte: %d): invalid utf-8: invalid UTF-8 in field %d near byte index %d",
				c.record, line, i, start, i, valid))
		}
	}
	if c.record == 0 {
		c.width = len(c.cells)
	} else if len(c.cells) != c.width {
		return nil, malformedCSV(fmt.Sprintf("CSV error: record %d (line: %d, byte: %d): found record with %d fields, but the previous record has %d fields",
			c.record, line, start, len(c.cells), c.width))
	}
	c.record++
	return c.cells, nil
}

func (c *csvReader) skipBOM() {
	bom := []byte("\xef\xbb\xbf")
	if head, _ := c.r.Peek(len(bom)); bytes.Equal(head, bom) {
		c.r.Discard(len(bom))
		c.bytes += int64(len(bom))
	}
}

// readRecord fills cells up to the end of the record. Empty lines before it are skipped.
func (c *csvReader) readRecord() error {
	b, err := c.skipLineEnds()
	if err != nil {
		return err
	}
	for {
		c.cell = c.cell[:0]
		end, err := c.readCell(b)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		c.cells = append(c.cells, string(c.cell))
		if err != nil || end != c.delimiter {
			return nil
		}
		if b, err = c.readByte(); err != nil {
			if errors.Is(err, io.EOF) {
				c.cells = append(c.cells, "")
				return nil
			}
			return err
		}
	}
}

func (c *csvReader) skipLineEnds() (byte, error) {
	for {
		b, err := c.readByte()
		if err != nil || b != '\n' && b != '\r' {
			return b, err
		}
	}
}

func (c *csvReader) readByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err != nil {
		return 0, err
	}
	c.bytes++
	if b == '\n' {
		c.line++
	}
	return b, nil
}

// readCell reads a cell whose first byte is b and returns the byte that ended it: the delimiter or a line end.
func (c *csvReader) readCell(b byte) (end byte, err error) {
	if b == '"' {
		if b, err = c.readQuoted(); err != nil {
			return 0, err
		}
	}
	for b != c.delimiter && b != '\n' && b != '\r' {
		c.cell = append(c.cell, b)
		if b, err = c.readByte(); err != nil {
			return 0, err
		}
	}
	return b, nil
}

// readQuoted reads the rest of a quoted part and returns the byte behind its closing quote.
func (c *csvReader) readQuoted() (byte, error) {
	for {
		b, err := c.readByte()
		if err != nil {
			return 0, err
		}
		if b != '"' {
			c.cell = append(c.cell, b)
			continue
		}
		if b, err = c.readByte(); err != nil || b != '"' {
			return b, err
		}
		c.cell = append(c.cell, '"')
	}
}

func validUTF8Prefix(s string) int {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(s)
}
