package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed order-to-bill.yaml
var document []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var d demo
	flag.StringVar(&d.api, "api", "http://127.0.0.1:8080", "address of the API")
	flag.StringVar(&d.data, "data", "data", "data directory of the running platform")
	flag.Parse()
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nNOT AS PROMISED:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run.
	}
	fmt.Println("\nEverything as promised.")
}

type demo struct {
	api, data string

	organization, flow, source, secret string
	org, prod                          client
	books                              *bookkeeper
	connection                         string
}

func (d *demo) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tenon-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if d.books, err = startBookkeeper(ctx, filepath.Join(filepath.Dir(self), "bookkeeper"), dir); err != nil {
		return fmt.Errorf("the bookkeeping service: %w", err)
	}
	defer d.books.stop()
	for _, s := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"An organization, with a cell of its own", d.createOrganization},
		{"A namespace and a key for it", d.createNamespace},
		{"A connection to the bookkeeping service; its credential is sealed here, by the client", d.connect},
		{"A flow: order to bill", d.deploy},
		{"A webhook source, verified by Standard Webhooks signatures", d.createSource},
		{"Three events: one sent twice, one with a bad signature", d.sendEvents},
		{"The runs, and the bills in the bookkeeping", d.showRuns},
		{"The cell's worker is killed with -9 in the middle of a run", d.killMidway},
		{"The audit trail", d.showAudit},
		{"The credential is nowhere: no log, no database, no engine history", d.search},
	} {
		fmt.Printf("\n== %s\n", s.title)
		began := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(s.title[:1])+s.title[1:], err)
		}
		fmt.Printf("   (%d ms)\n", time.Since(began).Milliseconds())
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

func (d *demo) createOrganization(ctx context.Context) error {
	key, err := os.ReadFile(filepath.Join(d.data, "admin.key"))
	if err != nil {
		return errors.New("no administrator key: is `make up` running, with this data directory?")
	}
	admin := newClient(d.api, strings.TrimSpace(string(key)))
	var org struct{ ID, State string }
	if err := admin.do(ctx, "POST", "/v1/organizations", 201, map[string]any{"name": "Demo Joinery " + time.Now().Format("15:04:05.000")}, &org); err != nil {
		return err
	}
	d.organization = org.ID
	err = until(ctx, 20*time.Second, "the cell is provisioned", func() (bool, error) {
		err := admin.do(ctx, "GET", "/v1/organizations/"+org.ID, 200, nil, &org)
		return org.State == "active", err
	})
	if err != nil {
		return err
	}
	var issued struct{ Key string }
	err = admin.do(ctx, "POST", "/v1/keys", 201, map[string]any{"organization": org.ID, "name": "demo", "permissions": []string{"*"}}, &issued)
	d.org = newClient(d.api, issued.Key)
	say("%s is %s: databases, keys, engine namespace and worker are its own", org.ID, org.State)
	return err
}

func (d *demo) createNamespace(ctx context.Context) error {
	var ns struct{ ID, Name string }
	if err := d.org.do(ctx, "POST", "/v1/namespaces", 201, map[string]any{"name": "prod"}, &ns); err != nil {
		return err
	}
	var issued struct{ ID, Key string }
	err := d.org.do(ctx, "POST", "/v1/keys", 201, map[string]any{"name": "demo prod", "namespace": "prod", "permissions": []string{"*"}}, &issued)
	d.prod = newClient(d.api, issued.Key)
	d.prod.namespace = ns.Name
	say("%s (%s), key %s", ns.Name, ns.ID, issued.ID)
	return err
}

func (d *demo) deploy(ctx context.Context) error {
	var f struct{ Flow struct{ ID string } }
	if err := d.prod.do(ctx, "POST", "/v1/flows", 201, yamlDocument(document), &f); err != nil {
		return err
	}
	d.flow = f.Flow.ID
	say("%s: look the supplier up, map the order, create the bill", f.Flow.ID)
	return nil
}

func (d *demo) createSource(ctx context.Context) error {
	var s struct{ ID, Path, Secret string }
	err := d.prod.do(ctx, "POST", "/v1/sources", 201, map[string]any{"name": "shop", "flow": d.flow, "verifier": "standard-webhooks"}, &s)
	d.source, d.secret = s.Path, s.Secret
	say("%s (its secret was shown once)", s.Path)
	return err
}
