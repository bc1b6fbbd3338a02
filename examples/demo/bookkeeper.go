package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bookkeeper is the other system, in its own process.
type bookkeeper struct {
	client
	host, token, ca string
	stop            func()
}

// stats are the counts that the demo judges by.
type stats struct {
	Bills        int   `json:"bills"`
	Duplicates   int   `json:"duplicates"`
	Unauthorized int64 `json:"requests_unauthorized"`
	Repeated     int64 `json:"repeated"`
	Stalled      int64 `json:"stalled"`
}

func startBookkeeper(ctx context.Context, binary, dir string) (*bookkeeper, error) {
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	b := &bookkeeper{token: "bk+/" + base64.StdEncoding.EncodeToString(raw)}
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(b.token), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "-dir", dir, "-token-file", tokenFile)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	var address string
	err := until(ctx, 10*time.Second, "the bookkeeper starts", func() (bool, error) {
		text, err := os.ReadFile(filepath.Join(dir, "address"))
		address = strings.TrimSpace(string(text))
		return err == nil && address != "", nil
	})
	if err != nil {
		b.stop()
		return nil, err
	}
	b.host = strings.TrimPrefix(address, "https://")
	caFile := filepath.Join(dir, "ca.pem")
	ca, err := os.ReadFile(caFile)
	if err != nil {
		b.stop()
		return nil, err
	}
	b.ca = string(ca)
	b.client, err = trusting("https://"+b.host, b.token, caFile)
	return b, err
}

func (b *bookkeeper) stats(ctx context.Context) (stats, error) {
	var s stats
	return s, b.do(ctx, "GET", "/stats", 200, nil, &s)
}

// stall makes the next bill wait for so long before it is recorded.
func (b *bookkeeper) stall(ctx context.Context, d time.Duration) error {
	return b.do(ctx, "POST", "/control", 200, map[string]any{"count": 1, "stall_ms": d.Milliseconds(), "when": "before"}, nil)
}

// cellProcess finds the worker process of an organization.
func cellProcess(organization string) (int, error) {
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, path := range entries {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
		if len(args) >= 2 && filepath.Base(args[0]) == "tenon-cell" && args[1] == organization {
			var pid int
			_, err := fmt.Sscanf(filepath.Base(filepath.Dir(path)), "%d", &pid)
			return pid, err
		}
	}
	return 0, fmt.Errorf("no worker process of %s was found", organization)
}
