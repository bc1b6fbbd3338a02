package evaluate

import (
	"bufio"
	"io"
	"time"

	"github.com/tenonhq/tenon/activities/evaluate/jq"
	"github.com/tenonhq/tenon/schema"
)

// slot is the place of one process in the pool. Its holder alone uses it,
// except for interrupt.
type slot struct {
	conn io.ReadWriteCloser
	in   *bufio.Reader
	kill func()
	// failures counts the processes that ended badly in a row.
	failures int
}

func (s *slot) open(conn io.ReadWriteCloser, kill func()) {
	s.conn, s.kill = conn, kill
	s.in = bufio.NewReaderSize(conn, 16<<10)
}

func (s *slot) exchange(frame []byte) ([]byte, error) {
	if _, err := s.conn.Write(frame); err != nil {
		return nil, err
	}
	return jq.ReadFrame(s.in)
}

// interrupt ends the process under a running exchange, which then fails.
func (s *slot) interrupt() {
	s.kill()
	_ = s.conn.Close() // It ends the read; there is nothing to lose.
}

func (s *slot) stop() {
	if s.conn != nil {
		s.interrupt()
		s.conn, s.in, s.kill = nil, nil, nil
	}
}

// pause is how long to wait before the next start: nothing after one failure,
// so that the next batch does not pay for the one before it.
func (s *slot) pause() time.Duration {
	if s.failures < 2 {
		return 0
	}
	return min(backoffFirst<<min(s.failures-2, 10), backoffMost)
}

func (s *slot) read(body []byte) (Result, error) {
	res, refused, err := jq.ReadResult(body)
	switch {
	case err != nil:
		// What does not speak the protocol is not asked again.
		s.stop()
		return Result{}, &schema.Error{Code: schema.CodeInternal, Message: "the evaluator's answer cannot be read", Err: err}
	case refused != "":
		return Result{}, schema.Errorf(schema.CodeInternal, "the evaluator refuses the batch: %s", refused)
	}
	return res, nil
}
