package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// encodings are the forms in which a secret could lie around.
func encodings(secret string) map[string][]byte {
	out := map[string][]byte{
		"plain": []byte(secret), "hex": []byte(hex.EncodeToString([]byte(secret))),
		"url": []byte(url.QueryEscape(secret)), "path": []byte(url.PathEscape(secret)),
	}
	// Base64 at each of the three alignments, without the characters that
	// depend on what is beside it.
	for shift := range 3 {
		padded := append(bytes.Repeat([]byte{0}, shift), secret...)
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := enc.EncodeToString(padded)
			from, to := (shift*8+5)/6, len(text)-1
			out[fmt.Sprintf("%s+%d", name, shift)] = []byte(text[from:to])
		}
	}
	return out
}

// searchFor looks for a secret in every file below a directory.
func searchFor(dir, secret string) (files int, found []string, err error) {
	forms := encodings(secret)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // A directory of our own.
		if os.IsNotExist(err) {
			return nil // A database's side file that came and went.
		}
		if err != nil {
			return err
		}
		files++
		for name, form := range forms {
			if bytes.Contains(text, form) {
				found = append(found, path+" ("+name+")")
			}
		}
		return nil
	})
	return files, found, err
}
