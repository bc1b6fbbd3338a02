//go:build !probe

package probe

// Arm does nothing.
func Arm() {}
