package docs

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/flow"
)

var block = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// Every flow document that the documentation shows can be deployed.
func TestFlowsParse(t *testing.T) {
	blocks := block.FindAllStringSubmatch(read(t, "docs", "flows.md"), -1)
	require.GreaterOrEqual(t, len(blocks), 4)
	for i, b := range blocks {
		t.Run(strconv.Itoa(i+1), func(t *testing.T) {
			doc, err := flow.Parse([]byte(b[1]))
			require.NoError(t, err)
			require.NotEmpty(t, doc.Do)
		})
	}
}
