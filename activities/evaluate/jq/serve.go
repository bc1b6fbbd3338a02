package jq

import (
	"bufio"
	"errors"
	"io"
	"runtime/debug"
)

// largeFrame is a frame after which memory is given back at once.
const largeFrame = 1 << 20

// Serve answers batches, one at a time, until the other side ends. For a batch
// that uses up [ProcessorTime] it answers with a runtime fault and calls exit,
// which must end the process.
func Serve(from io.Reader, to io.Writer, exit func()) error {
	e := New()
	in := bufio.NewReaderSize(from, 16<<10)
	w := newWatch(ProcessorTime, func() {
		fault := &Result{Fault: &Fault{Type: FaultRuntime, Detail: "the evaluation takes longer than " + ProcessorTime.String()}}
		_, _ = to.Write(AppendResult(nil, fault, "")) // The process ends, whether or not anybody reads why.
		exit()
	})
	var frame []byte
	for {
		body, err := ReadFrame(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.begin()
		frame = e.answer(frame[:0], body)
		w.end()
		if _, err := to.Write(frame); err != nil {
			return err
		}
		if len(body) > largeFrame || cap(frame) > largeFrame {
			frame = nil
			debug.FreeOSMemory()
		}
	}
}

func (e *Evaluator) answer(to, body []byte) []byte {
	b, err := ReadBatch(body)
	if err != nil {
		return AppendResult(to, &Result{}, err.Error())
	}
	res, err := e.Eval(b)
	if err != nil {
		return AppendResult(to, &Result{}, err.Error())
	}
	return AppendResult(to, &res, "")
}
