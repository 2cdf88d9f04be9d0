package ui

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience ends what hangs: no test measures it, and a browser starts slowly on a busy machine.
const patience = 2 * time.Minute

// page drives one tab of a real Chromium on the search page of a fake API. Its methods fail the test on any error.
type page struct {
	*fake
	t   *testing.T
	ctx context.Context
}

// newPage starts the browser with a fresh profile; tests share one process through t.Run and open their own address.
func newPage(t *testing.T) *page {
	t.Helper()
	program := findChromium()
	if program == "" {
		t.Skip("no chromium on this machine: install Debian's chromium package")
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(program), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-dev-shm-usage", true), // containers have little of it
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("lang", "en-US"), chromedp.Flag("force-prefers-reduced-motion", true))
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	if _, err := chromedp.Run(ctx, chromedp.Title()); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return &page{fake: newFake(t), t: t, ctx: ctx}
}

func findChromium() string {
	for _, name := range []string{os.Getenv("CHROMIUM_BIN"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); name != "" && err == nil {
			return found
		}
	}
	return ""
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// open loads the search page with this query string and waits for the first answer.
func (p *page) open(search string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.URL + "/ui/search/cities" + search))
	p.wait(`document.querySelector('.total strong')`)
}

// eval evaluates a JavaScript expression to a string.
func (p *page) eval(expression string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](`String(`+expression+`)`))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return got
}

// wait waits until a JavaScript expression is true, and shows the page's text when it does not become so.
func (p *page) wait(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](`Boolean(`+expression+`)`, chromedp.WithPollingInterval(20*time.Millisecond)))
	if err != nil {
		p.t.Fatalf("never true: %s\n%s\naddress %s", expression, p.eval(`document.body.innerText`), p.eval(`location.href`))
	}
}

func (p *page) want(expression, want string) {
	p.t.Helper()
	if got := p.eval(expression); got != want {
		p.t.Errorf("%s = %q, want %q", expression, got, want)
	}
}

func (p *page) typeQuery(text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys("#query", text))
}

func (p *page) key(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

const (
	total     = `document.querySelector('.total strong')?.textContent`
	firstHit  = `document.querySelector('.hit h3')?.textContent`
	focusedOn = `document.activeElement.textContent`
)

func TestSearchPage(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser")
	}
	shared := newPage(t)
	for _, c := range []struct {
		name string
		run  func(*page)
	}{
		{"shows the index before anything is typed", showsTheIndex},
		{"searches while one types", searchesWhileTyping},
		{"marks matches without making HTML", marksMatches},
		{"filters widen inside a facet and narrow across", filters},
		{"ranges filter numbers", ranges},
		{"keeps the state in the address", keepsAddress},
		{"sorts and pages", sortsAndPages},
		{"works from the keyboard", keyboard},
		{"opens a record", opensRecord},
		{"never shows an older answer", dropsOldAnswers},
		{"tells that an answer is late", stalls},
		{"waits for the input method", waitsForComposition},
		{"explains errors and tries again", explainsErrors},
		{"renews a refused token", renewsToken},
		{"notes degraded answers", notesDegraded},
		{"helps when nothing is found", helpsWhenNothingFound},
		{"says that an index is missing", missingIndex},
		{"finds facets by itself", derivesFacets},
		{"does without facets", doesWithoutFacets},
		{"puts the filters in a sheet on a phone", sheet},
		{"remembers the theme", remembersTheme},
		{"names everything for a screen reader", accessible},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &page{fake: shared.fake, t: t, ctx: shared.ctx}
			config := p.config
			p.do(chromedp.EmulateViewport(1280, 900))
			c.run(p)
			p.set(func() { p.before, p.headers, p.config = nil, nil, config })
			saveScreenshot(p, c.name)
		})
	}
}

// saveScreenshot keeps how each test left the page, for a person to look at, in the directory SCREENSHOTS names.
func saveScreenshot(p *page, name string) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func showsTheIndex(p *page) {
	p.open("")
	p.want(`document.title`, "Cities of the world")
	p.want(total, "4,789 results")
	p.want(firstHit, "Shanghai")
	p.want(`document.querySelectorAll('.hit').length`, "24")
	p.want(`document.querySelector('[role=status]').textContent`, "4,789 results")
	p.want(`[...document.querySelectorAll('legend')].map(e => e.textContent).join()`, "Continent,Kind,Country,Population,Elevation in metres,Language")
	p.wait(`document.querySelector('.place .chip')`)
}

func searchesWhileTyping(p *page) {
	p.open("")
	before := len(p.queries())
	p.eval(`[...'reykj'].forEach(key => { const e = document.querySelector('#query'); e.value += key; e.dispatchEvent(new InputEvent('input')); })`)
	p.wait(firstHit + ` === 'Reykjavík'`)
	if asked := len(p.queries()) - before; asked > 1 {
		p.t.Errorf("%d searches for five quick keys: no debounce", asked)
	}
	p.wait(`location.search === '?q=reykj'`)
	p.typeQuery("a")
	p.wait(`location.search === '?q=reykja'`)
}

func marksMatches(p *page) {
	p.open("?q=bombay")
	p.want(`document.querySelector('.match mark').textContent`, "Bombay")
	p.set(func() {
		p.before = func(*http.Request, []query) *answer {
			return &answer{200, `{"results":[{"hits":[{"id":1,"name":"<img src=x onerror=alert(1)>","_formatted":{"id":"1","name":"<img src=x onerror=alert(1)>` + "\ue000<b>\ue001" + `"}}],"estimatedTotalHits":1,"processingTimeMs":1}]}`}
		}
	})
	p.open("?q=x")
	p.want(`document.querySelector('.hit h3').innerHTML.includes('&lt;img')`, "true")
	p.want(`document.querySelector('.hit mark').textContent`, "<b>")
	p.want(`document.querySelectorAll('.hit img, .hit b').length`, "0")
}

const facetBox = `[...document.querySelectorAll('.facet label')].find(l => l.querySelector('.value').textContent === '%s').querySelector('input')`

func box(value string) string { return strings.Replace(facetBox, "%s", value, 1) }

func filters(p *page) {
	p.open("")
	p.eval(box("Oceania") + `.click()`)
	p.wait(total + ` === '51 results'`)
	p.want(`location.search`, "?continent=Oceania")
	p.want(box("Asia")+`.closest('label').querySelector('.count').textContent !== '0'`, "true")
	p.eval(box("Africa") + `.click()`)
	p.wait(`location.search === '?continent=Oceania&continent=Africa'`)
	p.wait(`document.querySelectorAll('.refinements .chip').length === 2`)
	p.eval(box("National capital") + `.click()`)
	p.wait(`document.querySelectorAll('.refinements .chip').length === 3`)
	p.wait(`!document.querySelector('[aria-busy=true]')`)
	queries := p.queries()
	filter, _ := json.Marshal(queries[len(queries)-1].Filter)
	if want := `[["\"continent\" = \"Oceania\"","\"continent\" = \"Africa\""],["\"kind\" = \"National capital\""]]`; string(filter) != want {
		p.t.Errorf("filter %s, want %s", filter, want)
	}
	p.eval(`document.querySelector('.refinements .plain').click()`)
	p.wait(total + ` === '4,789 results'`)
	p.want(`location.search`, "")
}

func ranges(p *page) {
	p.open("?population=10000000-")
	p.want(`document.querySelector('.refinements .chip').textContent`, "Population ≥ 10,000,000")
	p.want(total, "17 results")
	set := func(i int, value string) {
		p.eval(`(() => { const e = document.querySelectorAll('.ends input')[` + string(rune('0'+i)) + `]; e.value = '` + value + `'; e.dispatchEvent(new Event('change')); })()`)
	}
	set(1, "12000000")
	p.wait(`location.search === '?population=10000000-12000000'`)
	p.wait(firstHit + ` === 'Karachi'`)
	p.eval(`(() => { const e = document.querySelectorAll('.track input')[3]; e.focus(); e.value = 300; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); })()`)
	p.wait(`location.search.startsWith('?elevation=-')`)
}

func keepsAddress(p *page) {
	p.open("?q=san&continent=Asia&sort=name%3Aasc")
	p.want(`document.querySelector('#query').value`, "san")
	p.want(box("Asia")+`.checked`, "true")
	p.want(`document.querySelector('.select select').value`, "name:asc")
	first := p.eval(total)
	p.eval(box("Asia") + `.click()`)
	p.wait(`location.search === '?q=san&sort=name%3Aasc'`)
	p.wait(total + ` !== '` + first + `'`)
	p.eval(`history.back()`)
	p.wait(total + ` === '` + first + `'`)
	p.want(box("Asia")+`.checked`, "true")
	p.eval(`history.forward()`)
	p.wait(total + ` !== '` + first + `'`)
}

func sortsAndPages(p *page) {
	p.open("")
	p.eval(`(() => { const s = document.querySelector('.select select'); s.value = 'elevation:desc'; s.dispatchEvent(new Event('change')); })()`)
	p.wait(firstHit + ` === 'La Rinconada' || ` + firstHit + ` !== 'Shanghai'`)
	p.wait(`location.search === '?sort=elevation%3Adesc'`)
	first := p.eval(firstHit)
	p.eval(`document.querySelector('.pager [aria-label="Next page"]').click()`)
	p.wait(firstHit + ` !== '` + first + `'`)
	p.want(`location.search`, "?sort=elevation%3Adesc&page=2")
	p.want(`document.querySelector('[aria-current=page]').textContent`, "2")
	p.wait(`document.activeElement.className === 'total'`)
}

func keyboard(p *page) {
	p.open("")
	p.eval(`document.activeElement.blur()`)
	p.eval(`document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true}))`)
	p.want(`document.activeElement.id`, "query")
	p.key(kb.ArrowDown)
	p.want(focusedOn, "Shanghai")
	p.key(kb.ArrowRight)
	p.want(focusedOn, "Beijing")
	p.key(kb.ArrowDown)
	p.want(`[...document.querySelectorAll('.hit-open')].indexOf(document.activeElement) > 2`, "true")
	p.key(kb.Escape)
	p.want(`document.activeElement.id`, "query")
	p.typeQuery("oslo")
	p.wait(firstHit + ` === 'Oslo'`)
	p.key(kb.Escape)
	p.wait(firstHit + ` === 'Shanghai'`)
	p.want(`document.querySelector('#query').value`, "")
	p.eval(`document.activeElement.blur()`)
	p.eval(`['g', 'f'].forEach(key => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})))`) // as quick as it must be
	p.want(`document.activeElement.type`, "checkbox")
}

func opensRecord(p *page) {
	p.open("?q=reykjav")
	p.do(chromedp.Focus("#query"))
	p.key(kb.ArrowDown)
	p.key(kb.Enter)
	p.wait(`document.querySelector('dialog[open] h2')?.textContent === 'Reykjavík'`)
	p.want(`document.querySelector('dialog').innerText.includes('64.14° N')`, "true")
	p.key(kb.Escape)
	p.wait(`!document.querySelector('dialog[open]')`)
	p.want(focusedOn, "Reykjavík")
}

func dropsOldAnswers(p *page) {
	p.open("")
	release := make(chan struct{})
	answers := sync.OnceFunc(func() { close(release) })
	defer answers() // or nothing ends after a failure
	p.set(func() {
		p.before = func(r *http.Request, queries []query) *answer {
			if queries[0].Q == "tokyo" {
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
			return nil
		}
	})
	p.typeQuery("tokyo")
	p.wait(`document.querySelector('.hits[aria-busy=true]')`)
	p.wait(`location.search === '?q=tokyo'`)
	p.typeQuery(strings.Repeat(kb.Backspace, 5) + "lima")
	p.wait(firstHit + ` === 'Lima'`)
	answers()
	p.want(firstHit, "Lima")
	p.want(`document.querySelector('#query').value`, "lima")
}

func stalls(p *page) {
	p.open("")
	release := make(chan struct{})
	answers := sync.OnceFunc(func() { close(release) })
	defer answers() // or nothing ends after a failure
	p.set(func() { p.before = func(*http.Request, []query) *answer { <-release; return nil } })
	p.typeQuery("oslo")
	p.wait(`document.querySelector('.hits.waiting') && document.querySelector('.top.stalled')`)
	p.want(`document.querySelector('[aria-live]').textContent`, "Still searching…")
	answers()
	p.wait(firstHit + ` === 'Oslo' && !document.querySelector('.waiting, .stalled')`)
}

func waitsForComposition(p *page) {
	p.open("")
	compose := func(event, value string) {
		p.eval(`(() => { const e = document.querySelector('#query'); if (` + "`" + value + "`" + `) e.value = ` + "`" + value + "`" + `; e.dispatchEvent(new CompositionEvent('` + event + `')); e.dispatchEvent(new InputEvent('input')); })()`)
	}
	before := len(p.queries())
	compose("compositionstart", "とう")
	compose("compositionupdate", "とうき")
	compose("compositionend", "東京")
	p.wait(firstHit + ` === 'Tokyo'`)
	for _, q := range p.queries()[before:] {
		if q.Q != "東京" {
			p.t.Errorf("asked for %q while composing", q.Q)
		}
	}
}

func explainsErrors(p *page) {
	p.open("")
	p.set(func() {
		p.before = func(*http.Request, []query) *answer {
			return &answer{503, `{"message":"no replica answers","code":"miroir_shard_unavailable","type":"system","link":"https://example.org/errors#miroir_shard_unavailable"}`}
		}
	})
	p.typeQuery("oslo")
	p.wait(`document.querySelector('[role=alert]')`)
	p.want(`document.querySelector('[role=alert] .code').textContent`, "miroir_shard_unavailable")
	p.want(`document.querySelector('[role=alert] a').hash`, "#miroir_shard_unavailable")
	p.set(func() { p.before = nil })
	p.eval(`document.querySelector('[role=alert] button').click()`)
	p.wait(`!document.querySelector('[role=alert]')`)
	p.wait(firstHit + ` === 'Oslo'`)
}

func renewsToken(p *page) {
	p.open("")
	sessions, refused := p.sessions, false
	p.set(func() {
		p.before = func(*http.Request, []query) *answer {
			if refused {
				return nil
			}
			refused = true
			return &answer{401, `{"message":"expired","code":"miroir_jwt_invalid","type":"auth","link":""}`}
		}
	})
	p.typeQuery("oslo")
	p.wait(firstHit + ` === 'Oslo'`)
	p.set(func() {
		if p.sessions != sessions+1 {
			p.t.Errorf("%d new sessions, want 1", p.sessions-sessions)
		}
	})
}

func notesDegraded(p *page) {
	p.open("")
	p.want(`document.querySelector('.strip')`, "null")
	p.set(func() { p.headers = map[string]string{"X-Miroir-Degraded": "shards=3,17"} })
	p.open("")
	p.want(`document.querySelector('.strip').title`, "shards=3,17")
}

func helpsWhenNothingFound(p *page) {
	p.open("?q=pariss")
	p.want(`document.querySelector('.notice h2').textContent`, "Nothing found for “pariss”")
	p.want(`document.querySelector('.notice .chip').textContent`, "paris")
	p.open("?q=paris+qqq&continent=Asia")
	p.wait(`document.querySelector('.notice .chip')`)
	p.eval(`document.querySelector('.notice .chip').click()`)
	p.wait(firstHit + ` === 'Paris'`)
}

func missingIndex(p *page) {
	p.do(chromedp.Navigate(p.URL + "/ui/search/books"))
	p.wait(`document.querySelector('[role=alert]')`)
	p.want(`document.querySelector('[role=alert] h2').textContent`, "There is no index named “books”")
}

func doesWithoutFacets(p *page) {
	p.set(func() {
		p.config = json.RawMessage(`{"title":"Cities"}`)
		p.before = func(_ *http.Request, queries []query) *answer {
			if !slices.Contains(queries[0].Facets, "*") {
				return nil
			}
			return &answer{400, `{"message":"Inside ` + "`.queries[0]`" + `: Invalid facet distribution: Pattern ` + "`*`" + ` is not filterable.","code":"invalid_search_facets","type":"invalid_request","link":""}`}
		}
	})
	p.open("")
	p.want(total, "4,789 results")
	p.want(`document.querySelectorAll('legend').length`, "0")
}

func derivesFacets(p *page) {
	p.set(func() { p.config = json.RawMessage(`{}`) })
	p.open("?q=oslo")
	p.want(`document.title`, "Cities")
	p.want(`[...document.querySelectorAll('legend')].map(e => e.textContent).join()`, "Kind,Continent,Languages,Country,Elevation,Population")
	p.want(firstHit, "Oslo")
	p.want(`document.querySelectorAll('.facet.range').length`, "2")
}

func sheet(p *page) {
	p.do(chromedp.EmulateViewport(390, 844))
	p.open("")
	p.want(`document.documentElement.scrollWidth`, "390")
	p.want(`getComputedStyle(document.querySelector('.panel')).visibility`, "hidden")
	p.eval(`document.querySelector('.sheet-opener').click()`)
	p.wait(`getComputedStyle(document.querySelector('.panel')).visibility === 'visible'`)
	p.want(`document.querySelector('main').inert`, "true")
	p.eval(box("Oceania") + `.click()`)
	p.wait(`document.querySelector('.sheet-foot button').textContent === 'Show 51 results'`)
	p.eval(`history.back()`)
	p.wait(`getComputedStyle(document.querySelector('.panel')).visibility === 'hidden'`)
	p.want(total, "51 results")
	p.wait(`location.search === '?continent=Oceania'`)
	p.want(`document.querySelector('.badge').textContent`, "1")
}

func remembersTheme(p *page) {
	p.open("")
	background := `getComputedStyle(document.body).backgroundColor`
	turn := `document.querySelector('.top .bar > .icon-button').click()`
	p.eval(turn)
	light := p.eval(background)
	p.eval(turn)
	p.want(`document.documentElement.dataset.theme`, "dark")
	dark := p.eval(background)
	if light == dark {
		p.t.Errorf("both themes have the background %s", light)
	}
	p.open("")
	p.want(background, dark)
	p.eval(turn)
}

// accessible checks names, landmarks and the contrast of the texts on the page in both themes.
func accessible(p *page) {
	p.open("?q=san&continent=Asia")
	p.want(`[...document.querySelectorAll('button, input, select, a')].filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).map(e => e.outerHTML).join()`, "")
	p.want(`['header', 'main', 'aside', '[role=search]', 'nav'].filter(s => !document.querySelector(s)).join()`, "")
	p.want(`document.querySelectorAll('h1').length`, "1")
	p.want(`document.documentElement.lang`, "en")
	for _, theme := range []string{"light", "dark"} {
		p.eval(`document.documentElement.dataset.theme = '` + theme + `'`)
		p.want(lowContrast, "")
	}
	p.eval(`document.documentElement.dataset.theme = 'auto'`)
}

// lowContrast lists visible texts whose colour and background are closer than 4.5 to 1 (WCAG AA). Colours are read back
// through a canvas, which understands every notation.
const lowContrast = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => { const f = (c) => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
  const walk = document.createTreeWalker(document.querySelector('.page'), NodeFilter.SHOW_TEXT);
  const bad = new Set();
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility({visibilityProperty: true}) || e.closest('.tile.symbol')) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) bad.add(e.className + ': ' + walk.currentNode.data.slice(0, 30));
  }
  return [...bad].join('; ');
})()`
