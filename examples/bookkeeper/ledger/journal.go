package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// entry is one line of the journal: a bill, and the request that made it.
type entry struct {
	Key    string `json:"key,omitempty"`
	Digest string `json:"digest"`
	Bill   Bill   `json:"bill"`
}

// journal is a file of JSON lines. An append returns after the line is on
// disk; appends that arrive while the disk is busy share the next sync.
type journal struct {
	file  *os.File
	queue chan appendRequest
	done  chan struct{}

	mu     sync.RWMutex // held for reading while an append enters the queue
	closed bool
}

var errClosed = errors.New("the bookkeeper is closing")

type appendRequest struct {
	line []byte
	err  chan error
}

// openJournal reads what was recorded and opens the file for appending. A last
// line without its end was never acknowledged and is cut off.
func openJournal(path string) (*journal, []entry, error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	entries, length, err := readEntries(file)
	if err == nil {
		err = file.Truncate(length)
	}
	if err == nil {
		_, err = file.Seek(length, io.SeekStart)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	j := &journal{file: file, queue: make(chan appendRequest, 256), done: make(chan struct{})}
	go j.write()
	return j, entries, nil
}

func readEntries(r io.Reader) (entries []entry, length int64, err error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, 0, err
	}
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return entries, length, nil
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, 0, fmt.Errorf("line %d of the journal: %w", len(entries)+1, err)
		}
		entries = append(entries, e)
		length += int64(len(line)) + 1
		data = rest
	}
}

// append returns nil only when the entry is on disk.
func (j *journal) append(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	request := appendRequest{line: append(line, '\n'), err: make(chan error, 1)}
	j.mu.RLock()
	if j.closed {
		j.mu.RUnlock()
		return errClosed
	}
	j.queue <- request
	j.mu.RUnlock()
	return <-request.err
}

func (j *journal) write() {
	defer close(j.done)
	for first := range j.queue {
		batch := []appendRequest{first}
		lines := bytes.Clone(first.line)
		for more := true; more && len(batch) < 128; {
			select {
			case next, open := <-j.queue:
				if !open {
					more = false
					break
				}
				batch = append(batch, next)
				lines = append(lines, next.line...)
			default:
				more = false
			}
		}
		_, err := j.file.Write(lines)
		if err == nil {
			err = j.file.Sync()
		}
		for _, request := range batch {
			request.err <- err
		}
	}
}

// close ends the writer when what was queued is on disk.
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	close(j.queue)
	j.mu.Unlock()
	<-j.done
	return j.file.Close()
}

// syncDirectory makes a new file's name as durable as its content.
func syncDirectory(path string) error {
	directory, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
