package starter

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
)

// fence keeps the starter, and by inheritance its children, from the files that
// only the starter's client and others use.
type fence struct {
	// enclosed: the starter was started with [enclosure.Attributes].
	enclosed      bool
	hidden, shown []string
}

// confine says what cannot be had here.
func (f fence) confine(binaries string) (missing []string, err error) {
	if f.enclosed {
		if err := enclosure.Hide(f.hidden, f.shown); err != nil {
			return nil, fmt.Errorf("hide the files of others: %w", err)
		}
	} else if len(f.hidden) > 0 {
		// Where nobody can make namespaces, no launcher mounts, and Landlock does.
		if missing, err = f.landlock(binaries); err != nil {
			return nil, fmt.Errorf("close the files of others: %w", err)
		}
	}
	lacks, err := enclosure.Scope()
	if err != nil {
		return nil, fmt.Errorf("confine the starter: %w", err)
	}
	if err := enclosure.Drop(enclosure.Forking()...); err != nil {
		return nil, fmt.Errorf("confine the starter: %w", err)
	}
	return append(missing, lacks...), nil
}

// landlock leaves the starter what its children need together.
func (f fence) landlock(binaries string) (missing []string, err error) {
	if enclosure.Version() < 1 {
		return []string{"landlock"}, nil
	}
	rules := []landlock.Rule{
		landlock.RODirs(binaries, "/etc", "/usr", "/lib", "/lib64", "/proc", "/sys").IgnoreIfMissing(),
		landlock.RWDirs("/sys/fs/cgroup").IgnoreIfMissing(),
		landlock.ROFiles("/dev/urandom", "/dev/random").IgnoreIfMissing(),
		landlock.RWFiles("/dev/null").IgnoreIfMissing(),
		landlock.RWDirs(f.shown...).WithRefer(),
	}
	return nil, landlock.V5.BestEffort().RestrictPaths(rules...)
}
