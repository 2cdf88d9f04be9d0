package meili

import "testing"

func TestSizes(t *testing.T) {
	for bytes, want := range map[uint64]string{
		0: "0 B", 1: "1 B", 999: "999 B", 1000: "1 KB", 1024: "1 KiB", 184320: "180 KiB", 10000: "9.765625 KiB", 1_000_000: "1 MB", 1_020_000: "1.02 MB", 1 << 20: "1 MiB", 1_294_336: "1.234375 MiB", 5 << 30: "5 GiB",
	} {
		if got := FormatSize(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
		if got, ok := ParseSize(want); !ok || got != bytes {
			t.Errorf("%s: %d, %t", want, got, ok)
		}
	}
	for _, text := range []string{"", "1", "x KiB", "1 KIB", "-1 B", "NaN B", "1e30 B"} {
		if got, ok := ParseSize(text); ok {
			t.Errorf("%q: %d", text, got)
		}
	}
}
