package main

import (
	"strings"
	"testing"
)

func summarize(t *testing.T, events ...string) (text string, s *summary) {
	t.Helper()
	var to strings.Builder
	s = &summary{to: &to, running: map[string]map[string][]string{}}
	if err := s.read(strings.NewReader(strings.Join(events, "\n"))); err != nil {
		t.Fatal(err)
	}
	return to.String(), s
}

// TestWhatFailedIsNamed: with what it said, and once more at the end.
func TestWhatFailedIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		events []string
		want   []string // lines of the summary
	}{
		"a test": {
			[]string{`{"Action":"run","Package":"p","Test":"A"}`, `{"Action":"output","Package":"p","Test":"A","Output":"why\n"}`, `{"Action":"fail","Package":"p","Test":"A"}`,
				`{"Action":"output","Package":"p","Test":"A","Output":"late\n"}`, `{"Action":"fail","Package":"p","Elapsed":2}`},
			[]string{"FAIL p A", "why", "FAIL p", "late", "fail p 2.0s", "failed:", "  p A", "  p", "1 passed, 2 failed, 0 skipped"},
		},
		"a panic, the time limit": {
			[]string{`{"Action":"run","Package":"p","Test":"A"}`, `{"Action":"output","Package":"p","Test":"A","Output":"panic: test timed out\n"}`,
				`{"Action":"output","Package":"p","Output":"FAIL p 2s\n"}`, `{"Action":"fail","Package":"p","Elapsed":2}`},
			[]string{"FAIL p A (did not end)", "panic: test timed out", "FAIL p", "FAIL p 2s", "fail p 2.0s", "failed:", "  p A (did not end)", "  p", "1 passed, 2 failed, 0 skipped"},
		},
		"go test itself was ended": {
			[]string{`{"Action":"run","Package":"p","Test":"A"}`, `{"Action":"output","Package":"p","Test":"A","Output":"=== RUN A\n"}`},
			[]string{"FAIL p A (did not end)", "=== RUN A", "FAIL p", "fail p 0.0s", "failed:", "  p A (did not end)", "  p", "1 passed, 2 failed, 0 skipped"},
		},
		"a build": {
			[]string{`{"ImportPath":"p [p.test]","Action":"build-output","Output":"undefined: x\n"}`, `{"ImportPath":"p [p.test]","Action":"build-fail"}`, `{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`},
			[]string{"FAIL p [p.test]", "undefined: x", "FAIL p", "fail p 0.0s", "failed:", "  p [p.test]", "  p", "1 passed, 2 failed, 0 skipped"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ok := []string{`{"Action":"run","Package":"ok","Test":"B"}`, `{"Action":"output","Package":"ok","Test":"B","Output":"unimportant\n"}`, `{"Action":"pass","Package":"ok","Test":"B"}`, `{"Action":"pass","Package":"ok","Elapsed":1}`}
			text, s := summarize(t, append(ok, test.events...)...)
			want := strings.Join(append([]string{"pass ok 1.0s"}, test.want...), "\n")
			if got := strings.ReplaceAll(strings.TrimSpace(text), "\n\n", "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if len(s.failed) != 2 {
				t.Errorf("failed: %q", s.failed)
			}
		})
	}
}

// TestSkipsSayWhy.
func TestSkipsSayWhy(t *testing.T) {
	text, s := summarize(t, `{"Action":"run","Package":"p","Test":"A"}`, `{"Action":"output","Package":"p","Test":"A","Output":"no server\n"}`, `{"Action":"skip","Package":"p","Test":"A"}`, `{"Action":"skip","Package":"q"}`)
	if !strings.Contains(text, "skipped p A: no server") || s.skipped != 1 {
		t.Errorf("%d in\n%s", s.skipped, text)
	}
}
