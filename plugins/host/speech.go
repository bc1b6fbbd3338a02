package host

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLine bounds a line of a connector's standard error; the rest is dropped.
	maxLine = 1 << 10
	// lineBurst lines may come at once, then lineEvery one; a connector that
	// writes more waits for its pipe, and costs the host nothing.
	lineBurst = 64
	lineEvery = 100 * time.Millisecond
)

// speech puts what a connector writes to standard error into the debug log.
// Every byte of it is a stranger's: bounded in length and rate, cleaned of
// whatever a terminal or a log viewer might act on, never parsed. It may quote
// the payload of the moment, hence the level; a credential it cannot quote.
func speech(ctx context.Context, logger *slog.Logger, r io.Reader) {
	lines := bufio.NewReaderSize(r, maxLine)
	credit, last := lineBurst, time.Now()
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			logger.DebugContext(ctx, "connector wrote", "line", clean(line, maxLine))
			credit--
		}
		for errors.Is(err, bufio.ErrBufferFull) { // Drop the rest of the line.
			_, err = lines.ReadSlice('\n')
			credit--
			if credit <= 0 {
				break
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
		earned := int(time.Since(last) / lineEvery)
		last = last.Add(time.Duration(earned) * lineEvery)
		credit = min(credit+earned, lineBurst)
		if credit <= 0 {
			select {
			case <-time.After(lineEvery):
			case <-ctx.Done():
				return
			}
		}
	}
}

// clean bounds a stranger's text and takes out control and format characters:
// escape sequences, line breaks, bidirectional overrides, broken encoding.
func clean[T string | []byte](text T, most int) string {
	s := string(text)
	if len(s) > most {
		s = s[:most]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError, unicode.Is(unicode.C, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, s))
}
