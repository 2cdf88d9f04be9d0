package ui

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// newBrowser starts a Chromium of its own with a fresh profile. Tests that need one are skipped where there is none.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	program := findChromium()
	if program == "" {
		t.Skip("no chromium on this machine: install Debian's chromium package")
	}
	options := append([]chromedp.ExecAllocatorOption{},
		chromedp.ExecPath(program), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("lang", "en-US"))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return ctx
}

func findChromium() string {
	for _, name := range []string{os.Getenv("CHROMIUM_BIN"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); name != "" && err == nil {
			return found
		}
	}
	return ""
}

func TestShots(t *testing.T) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		t.Skip()
	}
	f := newFake(t)
	ctx := newBrowser(t)
	for _, s := range []struct {
		name, path string
		w, h       int64
	}{
		{"wide", "/ui/search/cities", 1440, 1000}, {"wideq", "/ui/search/cities?q=bombay", 1440, 900}, {"mid", "/ui/search/cities?q=san&continent=Asia&population=500000-", 800, 1000},
		{"phone", "/ui/search/cities?q=paris", 390, 844}, {"none", "/ui/search/cities?q=paris+zzz", 1024, 700}, {"missing", "/ui/search/books", 1024, 600},
	} {
		for _, theme := range []string{"light", "dark"} {
			var png []byte
			err := chromedp.Run(ctx, chromedp.EmulateViewport(s.w, s.h), chromedp.Navigate(f.URL+"/ui/search/cities"),
				chromedp.Evaluate(`localStorage.setItem('miroir.theme','`+theme+`')`, nil), chromedp.Navigate(f.URL+s.path),
				chromedp.Sleep(700*time.Millisecond), chromedp.CaptureScreenshot(&png))
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(filepath.Join(dir, s.name+"-"+theme+".png"), png, 0o644)
		}
	}
}
