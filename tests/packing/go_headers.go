// Writes go_headers.json: what Go's archive/tar makes of the headers that are hard to get right.
// Run by hand: go run tests/packing/go_headers.go > tests/packing/go_headers.json
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"time"
)

// Strings are hex, as names need not be UTF-8.
type vector struct {
	Name, Link, Uname, Gname string
	Kind                     string
	Mode                     int64
	Uid, Gid                 int
	Size                     int64
	HeaderBytes              int
	HeaderSha256             string
}

func main() {
	vectors := []vector{}
	add := func(header tar.Header) {
		header.ModTime = time.Unix(1, 0)
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Uname == "" {
			header.Uname, header.Gname = "root", "root"
		}
		facts := header
		var buffer bytes.Buffer
		if err := tar.NewWriter(&buffer).WriteHeader(&header); err != nil {
			panic(err)
		}
		digest := sha256.Sum256(buffer.Bytes())
		vectors = append(vectors, vector{
			Name: hex.EncodeToString([]byte(facts.Name)), Link: hex.EncodeToString([]byte(facts.Linkname)),
			Uname: hex.EncodeToString([]byte(facts.Uname)), Gname: hex.EncodeToString([]byte(facts.Gname)),
			Kind: string(facts.Typeflag), Mode: facts.Mode, Uid: facts.Uid, Gid: facts.Gid, Size: facts.Size,
			HeaderBytes: buffer.Len(), HeaderSha256: hex.EncodeToString(digest[:]),
		})
	}
	// A path of exactly n bytes, with directories of the given length.
	path := func(n, directory int) string {
		name := strings.Repeat("/"+strings.Repeat("d", directory), n/(directory+1)+1)[:n]
		if strings.HasSuffix(name, "/") {
			name = name[:n-1] + "e"
		}
		return name
	}
	for _, n := range []int{1, 2, 99, 100, 101, 155, 156, 157, 254, 255, 256, 257, 300} {
		for _, directory := range []int{5, 99, 100, 154, 155, 200} {
			add(tar.Header{Name: path(n, directory), Mode: 0444, Size: 7})
		}
	}
	long := path(180, 20)
	add(tar.Header{Name: path(3000, 50), Mode: 0444})
	add(tar.Header{Name: "/", Mode: 0755, Typeflag: tar.TypeDir})
	add(tar.Header{Name: "/" + strings.Repeat("x", 100), Mode: 0555, Typeflag: tar.TypeDir})
	add(tar.Header{Name: "relative", Mode: 0644, Size: 1 << 33})
	add(tar.Header{Name: strings.Repeat("x", 120), Mode: 0644})
	for _, size := range []int64{0, 1, 1<<33 - 1, 1 << 33, 1 << 40} {
		add(tar.Header{Name: "/nix/store/big", Mode: 0444, Size: size})
		add(tar.Header{Name: long, Mode: 0444, Size: size})
	}
	for _, id := range []int{0, 1, 65534, 1<<21 - 1, 1 << 21, 1 << 31} {
		add(tar.Header{Name: "/uid", Mode: 0644, Uid: id})
		add(tar.Header{Name: "/gid", Mode: 0644, Gid: id})
		add(tar.Header{Name: long, Mode: 0644, Uid: id, Gid: id})
	}
	for _, mode := range []int64{0, 0444, 0555, 01777, 04755, 07777, 0100644, 07777777} {
		add(tar.Header{Name: "/mode", Mode: mode})
	}
	for _, target := range []string{
		"x", "x/", strings.Repeat("t", 99), strings.Repeat("t", 100), strings.Repeat("t", 101),
		strings.Repeat("t", 99) + "/", strings.Repeat("t", 99) + "/u", "zwölf", "zwölf/", "\xff\xfe", strings.Repeat("ü", 60),
		strings.Repeat("ü", 120) + strings.Repeat("t", 99) + "/u",
	} {
		for _, name := range []string{"/link", long, "/ü"} {
			add(tar.Header{Name: name, Linkname: target, Mode: 0777, Typeflag: tar.TypeSymlink})
		}
	}
	for _, name := range []string{
		"/zwölf", "/zwölf/Boxkämpfer", "/\xff", "/日本語/ファイル", "/a b\tc\nd", "/" + strings.Repeat("ü", 60),
		"/" + strings.Repeat("é", 49) + "/" + strings.Repeat("n", 120), "/ü/" + strings.Repeat("n", 97), "/ü",
		strings.Repeat("/abcdefgh/ü", 30), "/" + strings.Repeat("n", 98) + "/ü", "/" + strings.Repeat("n", 86) + "/üx",
		"/" + strings.Repeat("n", 85) + "/ü", "/\x7f\x01", "/" + strings.Repeat("n", 97) + "/ü/ü/x", "/" + strings.Repeat("n", 96) + "/ü/ü/x",
	} {
		add(tar.Header{Name: name, Mode: 0444, Size: 3})
		add(tar.Header{Name: name, Mode: 0555, Typeflag: tar.TypeDir})
	}
	for _, owner := range []string{"nobody", strings.Repeat("u", 31), strings.Repeat("u", 32), strings.Repeat("u", 33), "jürgen"} {
		add(tar.Header{Name: "/owned", Mode: 0644, Uname: owner, Gname: "users"})
		add(tar.Header{Name: "/owned", Mode: 0644, Uname: "root", Gname: owner})
		add(tar.Header{Name: long, Mode: 0644, Uname: owner, Gname: owner, Uid: 1 << 22})
	}
	// Records whose length grows a digit by counting its own digits.
	for n := 88; n < 95; n++ {
		add(tar.Header{Name: "/ü" + strings.Repeat("n", n-3), Mode: 0444})
	}
	for n := 985; n < 994; n++ {
		add(tar.Header{Name: "/" + strings.Repeat("n", n), Mode: 0444})
	}
	encoder := json.NewEncoder(os.Stdout)
	os.Stdout.WriteString("[\n")
	for number, one := range vectors {
		if number > 0 {
			os.Stdout.WriteString(",")
		}
		encoder.Encode(one)
	}
	os.Stdout.WriteString("]\n")
}
