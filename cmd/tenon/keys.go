package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/user"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/custody"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Replace keys, and see what is under which"}
	rotate := &cobra.Command{Use: "rotate", Short: "Replace a key while everything runs"}
	rotate.AddCommand(
		rotateCell(keystore.KindData, "data", "Replace the data key of an organization's cell"),
		rotateCell(keystore.KindCredential, "credential", "Replace the pair that an organization's credentials are sealed to"),
		rotatePair(keystore.SideRoot, "Replace the root pair; run where the root key is"),
		rotatePair(keystore.SideAPI, "Replace the API's pair; run where the API's key is"),
	)
	cmd.AddCommand(rotate, reportKeys())
	return cmd
}

// cellKeys is what the API answers about the keys of a cell.
type cellKeys struct {
	Keys []struct {
		ID, Kind, State string
		Sealed          int
		Where           []struct {
			Side, Table, Column string
			Rows                int
		}
	}
	Wrapped []struct {
		Pair, Key string
		Rows      int
	}
	Rotations []cellRotation
	Broken    int
}

type cellRotation struct {
	ID, Kind, State string
	WaitsFor        string `json:"waits_for"`
}

func cellKeysPath(organization string) (string, error) {
	if err := schema.CheckID(schema.PrefixOrganization, organization); err != nil {
		return "", schema.Errorf(schema.CodeInvalid, "--organization must be an organization's id")
	}
	return "/organizations/" + organization + "/cell-keys", nil
}

func rotateCell(kind keystore.Kind, use, short string) *cobra.Command {
	var c caller
	var organization string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		Long: short + `. It is asked of the API and goes on by itself: tenon keys report
says how far it is. What was sealed before is sealed anew, and then the former key
is destroyed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := cellKeysPath(organization)
			if err != nil {
				return err
			}
			var r cellRotation
			if err := c.call(cmd.Context(), http.MethodPost, path+"/rotations", map[string]string{"kind": string(kind)}, &r); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), r.ID, r.State)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&organization, "organization", "", "organization whose key is replaced (required)")
	return cmd
}

func rotatePair(side keystore.Side, short string) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: string(side), Short: short, Args: cobra.NoArgs,
		Long: short + `. Every entry of the key store is wrapped to the next pair, which the
processes that run learn by themselves; then the former private half is destroyed.
Ended anywhere, run it again: it goes on. With --from the pair moves to where the
setting ` + string(side) + `-key says now.`,
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := environment(c)
			if err != nil {
				return err
			}
			return e.rotatePair(c.Context(), side, from, c.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "where the private half is kept now, when not where the setting says: a file, or a provider's key")
	return cmd
}

func (e env) rotatePair(ctx context.Context, side keystore.Side, from string, out io.Writer) error {
	if err := confine.Hide(); err != nil {
		return err
	}
	to, public := e.rootKey(), e.rootPublic
	if side == keystore.SideAPI {
		to, public = e.apiKey(), e.apiPublic
	}
	former := to
	if from != "" {
		if err := custody.Check("--from", from); err != nil {
			return err
		}
		former = custody.New("--from", from, filepath.Join(e.keys, string(side)+".wrapped"))
	}
	keys, err := keystore.Open(e.cellKeys)
	if err != nil {
		return err
	}
	control, err := e.openControl(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	act := func(action string) error {
		return control.AppendAudit(ctx, store.AuditDraft{Actor: operator(), Action: action, Target: string(side)})
	}
	if err := act("key.pair_rotation_begun"); err != nil {
		return err
	}
	r := custody.Rotation{
		Side: side, Store: keys, From: former, To: to, Public: public, Learn: custody.LearnPatience,
		Lock: filepath.Join(e.cellKeys, "replace-"+string(side)+".lock"),
		Done: func(step string) { _, _ = fmt.Fprintln(out, step) },
	}
	if err := r.Run(ctx); err != nil {
		return err
	}
	return act("key.pair_rotated")
}

func reportKeys() *cobra.Command {
	var c caller
	var organization string
	cmd := &cobra.Command{
		Use: "report", Short: "Say what is sealed under which key", Args: cobra.NoArgs,
		Long: `Say how many ciphertexts of an organization's cell are under which key, counted
from their headers, and how far its rotations are. Without --organization, say which
pairs the entries of this machine's key store are wrapped to.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if organization == "" {
				e, err := environment(cmd)
				if err != nil {
					return err
				}
				return e.reportPairs(cmd.Context(), cmd.OutOrStdout())
			}
			path, err := cellKeysPath(organization)
			if err != nil {
				return err
			}
			var report cellKeys
			if err := c.call(cmd.Context(), http.MethodGet, path, nil, &report); err != nil {
				return err
			}
			return report.print(cmd.OutOrStdout())
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&organization, "organization", "", "organization whose keys are reported")
	return cmd
}

func (r cellKeys) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	line("KEY\tKIND\tSTATE\tSEALED")
	for _, k := range r.Keys {
		line("%s\t%s\t%s\t%d", k.ID, k.Kind, k.State, k.Sealed)
		for _, at := range k.Where {
			line("\t\t%s %s.%s\t%d", at.Side, at.Table, at.Column, at.Rows)
		}
	}
	for _, p := range r.Wrapped {
		line("%s\t%s pair\twraps\t%d", p.Key, p.Pair, p.Rows)
	}
	if r.Broken > 0 {
		line("\t\tdo not open\t%d", r.Broken)
	}
	line("")
	line("ROTATION\tKIND\tSTATE\tWAITS FOR")
	for _, x := range r.Rotations {
		line("%s\t%s\t%s\t%s", x.ID, x.Kind, x.State, x.WaitsFor)
	}
	return w.Flush()
}

// reportPairs counts the wraps of the key store by the pairs that open them.
func (e env) reportPairs(ctx context.Context, out io.Writer) error {
	keys, err := keystore.Open(e.cellKeys)
	if err != nil {
		return err
	}
	organizations, err := keys.List(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "PAIR\tKEY\tSTATE\tWRAPS\tORGANIZATIONS")
	for _, side := range []keystore.Side{keystore.SideRoot, keystore.SideAPI} {
		public := e.rootPublic
		if side == keystore.SideAPI {
			public = e.apiPublic
		}
		current, err := keystore.LoadPublic(public)
		if err != nil {
			return err
		}
		wraps, entries := make(map[string]int), make(map[string]int)
		wraps[current.ID().String()] = 0
		for _, org := range organizations {
			entry, err := keys.Get(ctx, org)
			if err != nil {
				return err
			}
			for id, n := range entry.Under(side) {
				wraps[id.String()] += n
				entries[id.String()]++
			}
		}
		for _, id := range slices.Sorted(maps.Keys(wraps)) {
			state := "former"
			if id == current.ID().String() {
				state = "current"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", side, id, state, wraps[id], entries[id])
		}
	}
	return w.Flush()
}

// operator is who runs this, for the audit log.
func operator() string {
	if u, err := user.Current(); err == nil {
		return "operator:" + u.Username
	}
	return "operator"
}
