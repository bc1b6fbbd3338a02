package broker

import (
	"strings"
	"unicode/utf8"

	"github.com/tenonhq/tenon/schema"
)

func refusedPath(reason string) error {
	return schema.Errorf(schema.CodeRefused, "the request's path may not be used with this connection, which is bound to a path prefix: %s", reason).
		At("/url").Advise("Write the path plainly, without dots and without escaped slashes, and below the prefix.")
}

// underPrefix normalises an escaped path and says whether it lies under the
// prefix. The normalised path holds no dot segment, so that no server can
// resolve it to something else; escapes behind which a server might see a
// slash, a dot or a second escape are refused.
func underPrefix(path, prefix string) (normalised string, err error) {
	normalised, err = normalisePath(path)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(prefix, "/") {
		prefix = "/" + prefix
	}
	prefix, err = normalisePath(prefix)
	if err != nil {
		return "", schema.Errorf(schema.CodeRefused, "the connection's path prefix is not a plain path")
	}
	rest, found := strings.CutPrefix(normalised, prefix)
	if !found || rest != "" && rest[0] != '/' && !strings.HasSuffix(prefix, "/") {
		return "", refusedPath("it is not below the prefix")
	}
	return normalised, nil
}

func normalisePath(path string) (string, error) {
	decoded, err := decodeUnreserved(path)
	if err != nil {
		return "", err
	}
	var out []string
	segments := strings.Split(decoded[1:], "/")
	for i, segment := range segments {
		// Some servers drop ";…" parameters before they resolve dots.
		name, _, parameters := strings.Cut(segment, ";")
		last := i == len(segments)-1
		switch {
		case parameters && (name == "." || name == ".." || name == ""):
			return "", refusedPath("a dot or empty segment carries parameters")
		case name == "." || name == "..":
			if name == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		case name == "" && !last:
			// Some servers merge slashes before they resolve dots.
			return "", refusedPath("it holds an empty segment")
		default:
			out = append(out, segment)
		}
	}
	return "/" + strings.Join(out, "/"), nil
}

// decodeUnreserved undoes escapes of letters, digits, "-", "_" and "~", writes
// the others in upper case, and refuses those that hide structure.
func decodeUnreserved(path string) (string, error) {
	var out strings.Builder
	plain := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			out.WriteByte(c)
			plain = append(plain, c)
			continue
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return "", refusedPath("it holds a broken escape")
		}
		b := unhex(path[i+1])<<4 | unhex(path[i+2])
		plain = append(plain, b)
		switch {
		case b == '/' || b == '\\' || b == '.' || b == ';' || b < ' ' || b == 0x7f:
			return "", refusedPath("it holds an escaped slash, dot, semicolon or control character")
		case b == '%' && i+4 < len(path) && isHex(path[i+3]) && isHex(path[i+4]):
			return "", refusedPath("it is escaped twice")
		case b == '-' || b == '_' || b == '~' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z':
			out.WriteByte(b)
		default:
			out.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	if !utf8.Valid(plain) {
		return "", refusedPath("it is not UTF-8")
	}
	return out.String(), nil
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
