package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/worker/notary"
)

// exitBroken is the status of a verification that found something wrong; 1 is
// one that could not be made.
const exitBroken = 2

// brokenLogError is the error of a log that does not verify.
type brokenLogError struct{ findings int }

func (b brokenLogError) Error() string {
	return fmt.Sprintf("the audit log does not verify: %d findings", b.findings)
}

// ExitCode is the status that the process ends with.
func (b brokenLogError) ExitCode() int { return exitBroken }

// auditVerify is what to verify, and with what.
type auditVerify struct {
	file, organization, keyFile, caFile, api, checkpointKey string
	all, platform, asJSON                                   bool
}

func auditCommand() *cobra.Command {
	var v auditVerify
	cmd := &cobra.Command{Use: "audit", Short: "Verify the audit log, and accept that databases were restored"}
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Verify chains of the audit log, and the signatures of their checkpoints",
		Long: `Verify an export (--file, or - for the standard input), a running API's (--api with
--key-file), or the databases themselves, for who has them (--organization,
--platform or --all, with the settings of the host). What was edited, removed,
reordered or cut off is named by chain, sequence and id.

The status is 0 when everything holds, 2 when something does not, and 1 when
it could not be verified.`,
		Example: `  tenon audit verify --file audit.ndjson --checkpoint-key checkpoint.pub
  tenon audit verify --api https://tenon.example --key-file org.key --checkpoint-key checkpoint.pub
  tenon audit verify --data ./data --all`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := environment(c)
			if err != nil {
				return err
			}
			return v.run(c.Context(), e, c.OutOrStdout())
		},
	}
	flags := verify.Flags()
	flags.StringVar(&v.file, "file", "", "an export of GET /v1/audit/export or /v1/platform/audit/export; - for the standard input")
	flags.StringVar(&v.api, "api", "", "address of the API to export from")
	flags.StringVar(&v.keyFile, "key-file", "", "file with the API key, mode 0600, for --api")
	flags.StringVar(&v.caFile, "ca-file", "", "certificate authority of the API, when it is a private one")
	flags.StringVar(&v.organization, "organization", "", "verify this organization's databases")
	flags.BoolVar(&v.platform, "platform", false, "verify the control database; with --api, export it")
	flags.BoolVar(&v.all, "all", false, "verify the control database and those of every organization")
	flags.StringVar(&v.checkpointKey, "checkpoint-key", "", "file with the public keys of checkpoints, one a line; default DATA/keys/checkpoint.pub")
	flags.BoolVar(&v.asJSON, "json", false, "print the reports as JSON, one a line")
	cmd.AddCommand(verify, acceptRestore())
	return cmd
}

func (v auditVerify) run(ctx context.Context, e env, out io.Writer) error {
	offline := v.all || v.organization != "" || (v.platform && v.api == "")
	sources := 0
	for _, given := range []bool{v.file != "", v.api != "", offline} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return schema.Errorf(schema.CodeInvalid, "give one of --file, --api, --organization, --platform and --all")
	}
	if v.checkpointKey == "" {
		v.checkpointKey = e.checkpointPublic
	}
	keys, err := audit.LoadKeys(v.checkpointKey)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "the public keys of checkpoints could not be loaded: %w", err).
			Advise("Name them with --checkpoint-key; the host has them in DATA/keys/checkpoint.pub.")
	}
	if offline {
		return v.offline(ctx, e, keys, out)
	}
	in, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	report, err := audit.VerifyExport(in, keys)
	if err != nil {
		return err
	}
	return v.print(out, report)
}

func (v auditVerify) open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case v.file == "-":
		return io.NopCloser(os.Stdin), nil
	case v.file != "":
		f, err := os.Open(v.file)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInvalid, "the export could not be opened: %w", err)
		}
		return f, nil
	}
	if v.keyFile == "" {
		return nil, schema.Errorf(schema.CodeInvalid, "--api needs --key-file")
	}
	key, err := keystore.ReadSecretFile(v.keyFile)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	path := "/v1/audit/export"
	if v.platform {
		path = "/v1/platform/audit/export"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(v.api, "/")+path, nil)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "--api must be an address")
	}
	req.Header["Authorization"] = []string{"Bearer " + strings.TrimSpace(string(key))}
	client, err := apiClient(v.caFile)
	if err != nil {
		return nil, err
	}
	// An export may be long; its end is the context's, not a time.
	client.Timeout = 0
	resp, err := client.Do(req)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the API could not be reached: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, schema.Errorf(schema.CodeUnavailable, "the API answered with status %d", resp.StatusCode).
			Advise("It takes a key with the permission audit:read; for --platform one of the platform.")
	}
	return resp.Body, nil
}

// offline verifies databases. What cannot be read does not keep the others from
// being verified.
func (v auditVerify) offline(ctx context.Context, e env, keys audit.Keys, out io.Writer) error {
	control, err := e.openControl(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	evidence := notary.Evidence{Control: control, Admin: e.admin(), Keys: keys, Directory: e.checkpoints}
	var organizations []string
	if v.platform || v.all {
		organizations = append(organizations, "")
	}
	if v.organization != "" {
		organizations = append(organizations, v.organization)
	}
	if v.all {
		every, err := organizationsOf(ctx, control)
		if err != nil {
			return err
		}
		organizations = append(organizations, every...)
	}
	var unread error
	broken := brokenLogError{}
	for _, organization := range organizations {
		report, err := notary.Verify(ctx, evidence, organization)
		if err != nil {
			unread = errors.Join(unread, fmt.Errorf("%s: %w", organization, err))
			continue
		}
		if err := v.print(out, report); errors.As(err, new(brokenLogError)) {
			broken.findings += len(report.Findings)
		} else if err != nil {
			return err
		}
	}
	if broken.findings > 0 {
		return broken
	}
	return unread
}

// organizationsOf lists those whose databases hold chains.
func organizationsOf(ctx context.Context, control *store.Control) ([]string, error) {
	var out []string
	for after := ""; ; {
		page, err := control.ListOrganizations(ctx, after, store.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if after = o.ID; notary.Signed(o.State) {
				out = append(out, o.ID)
			}
		}
		if len(page) < store.MaxPage {
			return out, nil
		}
	}
}

// print says what was verified; its error is brokenLogError when that does not hold.
func (v auditVerify) print(out io.Writer, r *audit.Report) error {
	if v.asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
	} else {
		name := r.Organization
		if name == "" {
			name = "platform"
		}
		text := &strings.Builder{}
		fmt.Fprintf(text, "%s: %d entries, %d checkpoints, %d entries since the last one\n", name, r.Entries, r.Checkpoints, r.Unsigned)
		for _, h := range r.Heads {
			fmt.Fprintf(text, "  chain %s ends at entry %d, %x\n", h.Chain, h.Seq, h.Hash)
		}
		for _, part := range r.Parts {
			fmt.Fprintf(text, "  chain %s is there in part: its entries are what they were, others may be missing\n", part)
		}
		for _, l := range r.Restores {
			fmt.Fprintf(text, "  RESTORED: checkpoint %d of %s accepts that entries %d to %d of chain %s are gone\n", l.Checkpoint, l.At.Format(time.RFC3339), l.From, l.To, l.Chain)
		}
		for _, f := range r.Findings {
			fmt.Fprintln(text, "  BROKEN:", f)
		}
		if _, err := io.WriteString(out, text.String()); err != nil {
			return err
		}
	}
	if r.Broken() {
		return brokenLogError{findings: len(r.Findings)}
	}
	return nil
}
