package meili

import (
	"slices"
	"strings"
)

// locales are the ISO 639 codes of languages Meilisearch knows, two letters first, in the order its messages list them.
var locales = strings.Fields(`
af ak am ar az be bn bg ca cs da de el en eo et fi fr gu he hi hr hu hy id it jv ja kn ka km ko la lv lt ml mr mk my ne
nl nb or pa fa pl pt ro ru si sk sl sn es sr sv ta te tl th tk tr uk ur uz vi yi zh zu
afr aka amh ara aze bel ben bul cat ces dan deu ell eng epo est fin fra guj heb hin hrv hun hye ind ita jav jpn kan kat
khm kor lat lav lit mal mar mkd mya nep nld nob ori pan pes pol por ron rus sin slk slv sna spa srp swe tam tel tgl tha
tuk tur ukr urd uzb vie yid zho zul
cmn`)

// unsupportedLocale is the message about a locale of a query string, which lists all others by length.
func unsupportedLocale(locale string) string {
	sorted := slices.Clone(locales)
	slices.SortFunc(sorted, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return "Unsupported locale `" + locale + "`, expected one of " + strings.Join(sorted, ", ")
}

func readParamLocales(v *Value, at *Location) ([]string, *Error) {
	list, err := ReadParamList(v, at)
	if err != nil {
		return nil, err
	}
	for _, locale := range list {
		if !slices.Contains(locales, locale) {
			return nil, at.Invalid(unsupportedLocale(locale))
		}
	}
	return list, nil
}

// LanguageOf is the three-letter code of a locale Meilisearch knows.
func LanguageOf(locale string) string {
	half := len(locales) / 2
	if i := slices.Index(locales[:half], locale); i >= 0 {
		return locales[half+i]
	}
	return locale
}
