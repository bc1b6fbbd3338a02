package notary

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

const (
	// platformFile is the name of the control chain's file; the others have an
	// organization's.
	platformFile = "platform"
	extension    = ".ndjson"
	// maxLine bounds a line of a file. A checkpoint is about 500 bytes.
	maxLine = 64 << 10
)

// files are the checkpoints on disk: a file for each organization, a line for
// each checkpoint, in the form that an export has them. Lines are only added. The
// file of one organization is used by one at a time.
type files struct {
	directory string
	mu        sync.Mutex
	known     map[string]*audit.Checkpoint
}

func openFiles(directory string) (*files, error) {
	if err := keyfile.EnsureDirectory(directory); err != nil {
		return nil, err
	}
	return &files{directory: directory, known: map[string]*audit.Checkpoint{}}, nil
}

func (f *files) path(organization string) string {
	if organization == "" {
		organization = platformFile
	}
	return filepath.Join(f.directory, organization+extension)
}

// add writes a checkpoint behind the others and returns when it is on disk.
func (f *files) add(c *audit.Checkpoint) error {
	text, err := json.Marshal(audit.Line{Checkpoint: c})
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a checkpoint does not encode: %w", err)
	}
	path := f.path(c.Organization)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return unwritten(err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 0 {
		// A line that a crash cut short ends here, and is passed over when read.
		end := make([]byte, 1)
		if _, err = file.ReadAt(end, info.Size()-1); end[0] != '\n' {
			text = append([]byte{'\n'}, text...)
		}
	}
	if err == nil {
		_, err = file.Write(append(text, '\n'))
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && info.Size() == 0 {
		err = syncDirectory(f.directory)
	}
	if err != nil {
		return unwritten(err)
	}
	f.know(c.Organization, c)
	return nil
}

func unwritten(err error) error {
	return schema.Errorf(schema.CodeUnavailable, "a checkpoint could not be written to its file: %w", err)
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// last is the organization's newest checkpoint on disk; nil when there is none.
func (f *files) last(organization string) (*audit.Checkpoint, error) {
	f.mu.Lock()
	c, ok := f.known[organization]
	f.mu.Unlock()
	if ok {
		return c, nil
	}
	var last *audit.Checkpoint
	err := f.read(organization, func(c audit.Checkpoint) { last = &c })
	if err == nil {
		f.know(organization, last)
	}
	return last, err
}

func (f *files) know(organization string, last *audit.Checkpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[organization] = last
}

// after are the organization's checkpoints on disk behind that number.
func (f *files) after(organization string, sequence int64) ([]audit.Checkpoint, error) {
	var out []audit.Checkpoint
	err := f.read(organization, func(c audit.Checkpoint) {
		if c.Sequence > sequence {
			out = append(out, c)
		}
	})
	return out, err
}

// read gives each checkpoint of the file, once: hosts that share the file each add
// what they follow, and one that could not make sure of a line adds it again. What
// is no checkpoint is passed over: what is missing shows by the numbers.
func (f *files) read(organization string, each func(audit.Checkpoint)) error {
	file, err := os.Open(f.path(organization))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the file of checkpoints could not be read: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 4<<10), maxLine)
	given := make(map[string]bool)
	for lines.Scan() {
		var l audit.Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Checkpoint == nil {
			continue
		}
		// One whose signature was changed is another, and is to be found out.
		same := string(append(l.Checkpoint.Hash(), l.Checkpoint.Signature...))
		if !given[same] {
			given[same] = true
			each(*l.Checkpoint)
		}
	}
	if err := lines.Err(); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the file of checkpoints could not be read: %w", err)
	}
	return nil
}
