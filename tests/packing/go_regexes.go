// Writes go_regexes.json: which texts each regular expression matches in Go, or null where Go refuses it.
// Run by hand: go run tests/packing/go_regexes.go > tests/packing/go_regexes.json
package main

import (
	"encoding/json"
	"os"
	"regexp"
)

var regexes = []string{
	"", ".", ".*", "*", "+", "?", "^*", "a|*", "(*)", "|", "()", "(", ")", "a)", "[", "]", "{", "}", "a{", "a{,3}", "a{2", "a{2}", "a{2,}",
	"a{2,1}", "a{1,2}b", "a{02}", "a{1000}", "a{1001}", "a{2}{3}", "a{2}?", "a**", "a*+", "a++", "a?+", "a+?", "a*?", "a??", "a???", "(a*)*", "(a|b)+c",
	"/tmp$", "^/tmp$", "(/var)?/tmp", "/tmp\\z", "/tmp\\Z", "\\A/tmp", "a$b", "(?m)^a$", "(?m)tmp$", "(?m:^b$)", "((?m:^b$))|zz$", "^b$", "$", "\\z",
	"(?s)a.b", "a.b", "(?s:a.b)", "(?-s:a.b)", "(?s-s:a.b)", "(?i)TMP", "(?i:TMP)", "(?i:t)MP", "(?i-i:TMP)", "(?-i:tmp)", "(?U)a+", "(?U:a+)b", "(?x)a b", "(?:ab)+",
	"(?is)A.B", "(?ii)TMP", "(?)a", "(?-)a", "(?i-)a", "(?", "(?i", "(?:", "(?P<n>a)b", "(?P<n-m>a)", "(?P<>a)", "(?P<1>a)", "(?P=n)", "(?P>n)", "(?'n'a)",
	"(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?>a)", "(?#comment)", "(?|a)", "(?(1)a)", "(?a)x", "(?L)x", "(?u)x",
	"(a)\\1", "\\1", "\\12", "\\012", "\\0", "\\8", "\\9", "\\x41", "\\x4", "\\x{41}", "\\x{1F600}", "\\x{110000}", "\\x{", "\\x{}", "\\u0041", "\\U00000041", "\\N{DIGIT ONE}", "\\cA", "\\e", "\\a\\f\\n\\r\\t\\v", "\\_", "\\-", "\\/", "\\.", "\\ü", "\\", "a\\",
	"\\d", "\\D", "\\w+", "\\W", "\\s", "\\S", "\\h", "\\R", "\\X", "\\K", "\\G", "\\C", "\\y", "\\bvar\\b", "\\Bar", "ü\\b", "\\<a", "^\\w$",
	"\\Qa.b\\E", "\\Qa.b", "\\Q\\E", "\\Qa\\b\\Ec", "\\E", "x\\Q.\\Ey",
	"[a-c]", "[^a-c]", "[]a]", "[^]a]", "[]", "[^]", "[a-]", "[-a]", "[a-b-c]", "[c-a]", "[a", "[a-", "[a\\", "[\\d]", "[^\\d]", "[\\D]", "[\\D\\d]", "[\\w-]", "[a-\\d]", "[\\d-z]", "[\\]]", "[\\-]", "[\\b]", "[\\z]", "[\\x41-\\x43]", "[\\101]", "[\\Q]", "[[]", "[[a]", "[a[]", "[&&]", "[a&&b]", "[--a]", "[~~|]", "[||]", "[a||b]", "[ü-ÿ]", "[\n]", "[^\n]", "[.]", "[$^]", "[{}()*+?]",
	"[[:alpha:]]", "[[:^alpha:]]", "[^[:alpha:]]", "[[:alnum:][:punct:]]", "[[:digit:]]", "[[:space:]]", "[[:word:]]", "[[:xdigit:]]+$", "[[:foo:]]", "[:alpha:]", "[[:alpha]", "[[:alpha:]", "[[:upper:]_]", "[[:blank:]]", "[[:cntrl:]]", "[[:graph:]]", "[[:print:]]", "[[:lower:]]", "[[:ascii:]]",
	"\\pN", "\\PN", "\\p{Greek}", "[\\pL]", "(?i)k", "(?i)ß", "(?i)[k-l]",
	"/nix/store/[a-z0-9]{3}-x", "etc/(passwd|shadow)$", "^/nix/store/[^/]+/(var/)?tmp$", "\\.sh$", "(a(?i)b)c", "a(?i)B", "a(?s).b", "(?i)(?s)A.B", "x{0}", "(?:a{500}){3}", "a#b", "a b", "é", "a\x00b",
}

var texts = []string{
	"", "a", "b", "ab", "aab", "aaa", "abc", "a\nb", "a\n", "b\n", "\n", "a.b", "a b", "A", "TMP", "/tmp", "/tmp\n", "/var/tmp", "x/tmp/y", "tmp\nx", "var", "bar", "ar",
	"0", "٣", "_", "-", "z", "Z", "é", "ü", "ß", "K", "ſ", "k", " ", "\t", "\v", "\u00a0", "\x00", "\x01", "\x07\f\n\r\t\v", "😀", "]", "[", "{", "}", "&", "|", "~", "$", "^", ".", "\\", "a{", "a{,3}", "a{2", "a{02}", "a&", "#", "a#b", "xEy", "x.y", "a\\bc", "aB", "aBc", "aa",
	"/nix/store/abc-x", "/nix/store/abc-x/tmp", "/nix/store/abc-x/var/tmp", "/nix/store/abc-x/etc/passwd", "/nix/store/abc-x/bin/run.sh", "/nix/store/abc-x/bin/runash", "a\x00b", ":", "A:a", "alpha", "foo",
}

func main() {
	type row struct {
		Regex   string
		Matches *[]bool
	}
	out := struct {
		Texts []string
		Rows  []row
	}{texts, nil}
	for _, regex := range regexes {
		one := row{regex, nil}
		if compiled, err := regexp.Compile(regex); err == nil {
			matches := []bool{}
			for _, text := range texts {
				matches = append(matches, compiled.Match([]byte(text)))
			}
			one.Matches = &matches
		}
		out.Rows = append(out.Rows, one)
	}
	os.Stdout.WriteString("{\"Texts\":")
	json.NewEncoder(os.Stdout).Encode(out.Texts)
	os.Stdout.WriteString(",\"Matches\":{\n")
	for number, one := range out.Rows {
		if number > 0 {
			os.Stdout.WriteString(",")
		}
		name, _ := json.Marshal(one.Regex)
		os.Stdout.Write(name)
		os.Stdout.WriteString(":")
		if one.Matches == nil {
			os.Stdout.WriteString("null\n")
			continue
		}
		digits := ""
		for _, matches := range *one.Matches {
			digits += map[bool]string{true: "1", false: "0"}[matches]
		}
		json.NewEncoder(os.Stdout).Encode(digits)
	}
	os.Stdout.WriteString("}}\n")
}
