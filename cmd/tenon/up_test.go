package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// writes keeps what each Write was given.
type writes []string

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, string(b))
	return len(b), nil
}

// TestLinesAreCopiedWhole: whatever pieces they come in, each line is written at
// once, in order, with those that came with it; the last may have no end.
func TestLinesAreCopiedWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*logBuffer)
	text := "one\ntwo\nthree\n" + long + "\nfour\nfive"
	for _, size := range []int{1, 5, 7, 4096, len(text)} {
		r, w := io.Pipe()
		go func() {
			for rest := text; rest != ""; {
				n := min(size, len(rest))
				if size == 1 && len(rest) > logBuffer {
					n = logBuffer // The long one byte by byte would take long.
				}
				_, _ = io.WriteString(w, rest[:n])
				rest = rest[n:]
			}
			_ = w.Close()
		}()
		var got writes
		copyLines(&got, r)
		require.Equal(t, text, strings.Join(got, ""))
		for i, part := range got[:len(got)-1] {
			require.True(t, strings.HasSuffix(part, "\n"), "write %d of %d", i, len(got))
		}
	}
}
