//go:build !chaos

package e2e

import (
	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/crash"
)

// walked are the crash points around what must not be lost or done twice; that
// there was no call proves itself after minutes where the target can be asked.
var walked = []doom{
	accepting(crash.EventKept, 2),
	passing(crash.RunsKept, 2, kinds...),
	passing(crash.IntentKept, 2, ledger.Keys, ledger.None),
	passing(crash.AnswerReceived, 2, kinds...),
	passing(crash.RunFinished, 2, kinds...),
}
