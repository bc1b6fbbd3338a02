package broker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPeelSpans(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, plain string
		start, end  int
		from, to    int
	}{
		{`a%41b`, `aAb`, 1, 2, 1, 4},
		{`%41%42`, `AB`, 0, 2, 0, 6},
		{`a\u00e9b`, `aéb`, 2, 3, 1, 7}, // half of a character takes all of it
		{`x&amp;y\"z`, `x&y"z`, 2, 5, 6, 10},
		{`\ud83d\ude00!`, "😀!", 4, 5, 12, 13},
		{`100%&;\q`, `100%&;\q`, 0, 8, 0, 8},
	} {
		v, _ := view{bytes: []byte(test.text)}.peel(allEscapes)
		require.Equal(t, test.plain, string(v.bytes))
		from, to := v.span(test.start, test.end)
		assert.Equal(t, []int{test.from, test.to}, []int{from, to}, test.text)
	}
	twice, _ := view{bytes: []byte(`..%2541%2542..`)}.peel(percents)
	twice, _ = twice.peel(percents)
	require.Equal(t, "..AB..", string(twice.bytes))
	from, to := twice.span(3, 5)
	assert.Equal(t, []int{7, 13}, []int{from, to})
	joined, _ := view{bytes: []byte("ab \r\n cd ")}.peel(spaces)
	require.Equal(t, "abcd", string(joined.bytes))
	from, to = joined.span(1, 3)
	assert.Equal(t, []int{1, 7}, []int{from, to})
}

// FuzzPeel holds the way back from a view: in order, within the text, and
// exact for every byte that was not escaped.
func FuzzPeel(f *testing.F) {
	f.Add([]byte(`a%2541\u0041&amp;amp; \"x\" %zz`))
	f.Add([]byte("%25%32%35 &#x41;&#65 \\\\u0041\n\n\\x41"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, v := range views(text, true) {
			last, end := 0, 0
			for i, b := range v.bytes {
				from, to := v.locate(i)
				require.True(t, from >= last && to >= end && from < to && to <= len(text), "byte %d: [%d,%d)", i, from, to)
				if to == from+1 && b != text[from] {
					require.Failf(t, "wrong place", "byte %d of %q stands for %d", i, v.bytes, from)
				}
				last, end = from, to
			}
		}
	})
}
