package platform_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// orders is what a host in a process of its own is told.
type orders struct {
	KeyStore, ControlURL, Organization string
	Admin                              store.Admin
	Root, API                          seal.PublicKey
	// Deletes has it delete instead.
	Deletes bool
	// Rotation is what the host is to take on, instead of provisioning;
	// RootPrivate is what it opens keys with.
	Rotation    string
	RootPrivate []byte
}

const ordersVariable = "TENON_TEST_PROVISION"

// TestMain is also the host that is killed: it provisions, or deletes, over and over.
func TestMain(m *testing.M) {
	text := os.Getenv(ordersVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var o orders
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.obey()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (o orders) obey() error {
	ctx := context.Background()
	keys, err := keystore.Open(o.KeyStore)
	if err != nil {
		return err
	}
	control, err := store.OpenControl(ctx, o.ControlURL)
	if err != nil {
		return err
	}
	p := platform.New(platform.Config{
		Keys: keys, Control: control, Admin: o.Admin, Publics: o.publics, Host: "host",
		Namespace:       func(context.Context, string) error { return nil },
		DeleteNamespace: func(context.Context, string) (bool, error) { return true, nil },
	})
	do := steps(p)
	if o.Deletes {
		do = deletes(p)
	}
	fmt.Println("ready")
	if o.Rotation != "" {
		return o.rotate(ctx, p)
	}
	for {
		for _, activity := range do {
			if err := activity(ctx, o.Organization); err != nil {
				return err
			}
		}
	}
}

func (o orders) publics() (keystore.Publics, error) {
	return keystore.Publics{Root: o.Root, API: o.API}, nil
}

// steps are the activities in the order of the workflow.
func steps(p *platform.Platform) []func(context.Context, string) error {
	return []func(context.Context, string) error{p.Keys, p.Databases, p.Namespace, p.Activate}
}

// site is where organizations are provisioned.
type site struct {
	*testing.T
	orders
	keys      *keystore.Store
	control   *store.Control
	root, api seal.PrivateKey
	mu        sync.Mutex
	named     []string
	removed   []string
	// written counts what works has written on each side.
	written int
}

func each(t *testing.T, test func(s *site)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := &site{T: t, control: b.Control(t)}
		var err error
		s.root, err = seal.NewPrivateKey()
		require.NoError(t, err)
		s.api, err = seal.NewPrivateKey()
		require.NoError(t, err)
		dir := filepath.Join(t.TempDir(), "keys")
		s.keys, err = keystore.Open(dir)
		require.NoError(t, err)
		s.orders = orders{
			KeyStore: dir, ControlURL: b.ControlURL, Organization: schema.NewID(schema.PrefixOrganization), Admin: b.Admin,
			Root: s.root.Public(), API: s.api.Public(),
		}
		require.NoError(t, s.control.CreateOrganization(t.Context(), store.Organization{ID: s.Organization, Name: "acme"}, store.AuditDraft{Actor: "test", Action: "test"}))
		t.Cleanup(func() { _ = store.Deprovision(context.WithoutCancel(t.Context()), b.Admin, s.Organization) })
		test(s)
	})
}

// host is one more host.
func (s *site) host() *platform.Platform {
	return platform.New(platform.Config{
		Keys: s.keys, Control: s.control, Admin: s.Admin, Publics: s.publics, Host: schema.NewID(schema.PrefixHost),
		Namespace: func(_ context.Context, name string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.named = append(s.named, name)
			return nil
		},
		DeleteNamespace: func(_ context.Context, name string) (bool, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.removed = append(s.removed, name)
			return true, nil
		},
	})
}

// works opens the cell as the API and as the cell do, with the keys and
// addresses that are kept, and writes on both sides.
func (s *site) works() keystore.Entry {
	s.Helper()
	entry, err := s.keys.Get(s.Context(), s.Organization)
	require.NoError(s, err)
	forAPI, err := entry.OpenForAPI(s.api)
	require.NoError(s, err)
	forHost, err := entry.OpenForHost(s.root)
	require.NoError(s, err)
	require.Equal(s, forHost.Private[0].Public(), forAPI.CredentialPublic)
	open := func(encoded string, side store.Side) *store.Cell {
		urls, err := config.DecodeDatabases(encoded)
		require.NoError(s, err)
		c, err := store.OpenCell(s.Context(), store.CellURLs{Door: urls.Door, Work: urls.Work}, side)
		require.NoError(s, err)
		return c
	}
	require.NotContains(s, forAPI.Databases, keystore.DatabaseCell, "the API cannot write the cell's side")
	api := open(forAPI.Databases[keystore.DatabaseAPI], store.SideAPI)
	cell := open(forHost.Databases[keystore.DatabaseCell], store.SideCell)
	act := store.AuditDraft{Actor: "test", Action: "test"}
	require.NoError(s, api.Door().AppendAudit(s.Context(), act))
	require.NoError(s, cell.Work().AppendAudit(s.Context(), act))
	for _, list := range []func(context.Context, store.AuditFilter) ([]audit.Entry, error){api.Door().ListAudit, cell.Work().ListAudit} {
		entries, err := list(s.Context(), store.AuditFilter{})
		require.NoError(s, err)
		require.Len(s, entries, s.written+1, "what was written before is still there")
	}
	s.written++
	require.NoError(s, errors.Join(api.Close(), cell.Close()))
	return entry
}

func (s *site) activated() int {
	s.Helper()
	entries, err := s.control.ListAudit(s.Context(), store.AuditFilter{Action: "organization.activated"})
	require.NoError(s, err)
	return len(entries)
}

// TestEachActivityByAnotherHost has a host die after each activity, and the
// next one do that one again: nothing is lost and no key is made twice.
func TestEachActivityByAnotherHost(t *testing.T) {
	each(t, func(s *site) {
		var first keystore.Entry
		for i := range 4 {
			for range 2 {
				require.NoError(s, steps(s.host())[i](s.Context(), s.Organization))
			}
			if i == 0 {
				var err error
				first, err = s.keys.Get(s.Context(), s.Organization)
				require.NoError(s, err)
			}
			if i > 0 {
				entry := s.works()
				require.Equal(s, first.Credentials, entry.Credentials)
				require.Equal(s, first.DataKeys, entry.DataKeys)
			}
		}
		require.Equal(s, []string{s.Organization, s.Organization}, s.named)
		require.Equal(s, 1, s.activated())
		// All of it again, such as by a workflow that was lost with its engine.
		for _, activity := range steps(s.host()) {
			require.NoError(s, activity(s.Context(), s.Organization))
		}
		entry := s.works()
		require.Equal(s, first.DataKeys, entry.DataKeys)
		o, err := s.control.GetOrganization(s.Context(), s.Organization)
		require.NoError(s, err)
		require.Equal(s, store.OrganizationActive, o.State)
	})
}

// TestActivateOnce: a late activation does not bring a suspended organization back.
func TestActivateOnce(t *testing.T) {
	each(t, func(s *site) {
		require.NoError(s, s.control.SetOrganizationState(s.Context(), s.Organization, store.OrganizationSuspended, store.AuditDraft{Actor: "test", Action: "test"}))
		require.NoError(s, s.host().Activate(s.Context(), s.Organization))
		o, err := s.control.GetOrganization(s.Context(), s.Organization)
		require.NoError(s, err)
		require.Equal(s, store.OrganizationSuspended, o.State)
		require.Zero(s, s.activated())
	})
}

// TestAtOnce: activities that the engine gave up on and their successors run at
// the same time; what is kept afterwards works.
func TestAtOnce(t *testing.T) {
	each(t, func(s *site) {
		p := s.host()
		for _, activity := range []func(context.Context, string) error{p.Keys, p.Databases, p.Activate} {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := activity(s.Context(), s.Organization); err != nil {
						s.Error(err)
					}
				})
			}
			wg.Wait()
		}
		s.works()
		require.Equal(s, 1, s.activated())
	})
}

// TestHostsAtOnce: so do activities on several hosts, for which an organization is
// being made at the same time.
func TestHostsAtOnce(t *testing.T) {
	each(t, func(s *site) {
		require.NoError(s, s.host().Keys(s.Context(), s.Organization))
		for range 3 {
			var wg sync.WaitGroup
			for range 4 {
				p := s.host()
				wg.Go(func() {
					if err := p.Databases(s.Context(), s.Organization); err != nil {
						s.Error(err)
					}
				})
			}
			wg.Wait()
			s.works()
		}
	})
}

// TestKilledHosts kills hosts with -9 anywhere in their provisioning. The last
// one is left alone: everything works, under the first one's keys.
func TestKilledHosts(t *testing.T) {
	each(t, func(s *site) {
		rng := rand.New(rand.NewPCG(1, 2))
		var keys []keystore.DataKeyEntry
		for range 8 {
			s.kill(time.Duration(rng.IntN(60)) * time.Millisecond)
			entry, err := s.keys.Get(s.Context(), s.Organization)
			if schema.CodeOf(err) == schema.CodeNotFound {
				require.Empty(s, keys, "keys are lost")
				continue
			}
			require.NoError(s, err, "half an entry")
			if keys == nil {
				keys = entry.DataKeys
			}
			require.Equal(s, keys, entry.DataKeys)
		}
		for _, activity := range steps(s.host()) {
			require.NoError(s, activity(s.Context(), s.Organization))
		}
		entry := s.works()
		if keys != nil {
			require.Equal(s, keys, entry.DataKeys)
		}
		require.Equal(s, 1, s.activated())
		_, err := s.control.VerifyAudit(s.Context())
		require.NoError(s, err)
	})
}

func (s *site) kill(after time.Duration) {
	s.Helper()
	text, err := json.Marshal(s.orders)
	require.NoError(s, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ordersVariable+"="+string(text))
	out, err := cmd.StdoutPipe()
	require.NoError(s, err)
	require.NoError(s, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(s, err)
	require.Equal(s, "ready\n", line)
	timer := time.NewTimer(after)
	<-timer.C
	require.NoError(s, cmd.Process.Kill())
	_ = cmd.Wait()
}
