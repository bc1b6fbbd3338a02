package platform

import (
	"context"

	"go.temporal.io/sdk/temporal"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// DeleteShut makes sure that nothing leads to the organization any more. It
// refuses, for good, one whose deletion nobody has begun: a workflow that
// somebody started in the engine deletes nothing.
func (p *Platform) DeleteShut(ctx context.Context, organization string) error {
	return p.deletion(ctx, organization)
}

// deletion refuses an organization that is not being deleted, nor deleted.
func (p *Platform) deletion(ctx context.Context, organization string) error {
	o, err := p.cfg.Control.GetOrganization(ctx, organization)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound:
		deleted, err := p.cfg.Control.Deleted(ctx, organization)
		if err != nil || deleted {
			return err
		}
	case err != nil:
		return err
	case o.State == store.OrganizationDeleting:
		return nil
	}
	return temporal.NewNonRetryableApplicationError("the organization is not being deleted", string(schema.CodeRefused), nil)
}

// DeleteKeys destroys the cell's keys, first of all that it has (invariant 3).
func (p *Platform) DeleteKeys(ctx context.Context, organization string) error {
	leave, err := p.alone(ctx, organization)
	if err != nil {
		return err
	}
	defer leave()
	if err := p.deletion(ctx, organization); err != nil {
		return err
	}
	return p.cfg.Keys.Delete(ctx, organization)
}

// DeleteDatabases removes the cell's databases and roles.
func (p *Platform) DeleteDatabases(ctx context.Context, organization string) error {
	leave, err := p.alone(ctx, organization)
	if err != nil {
		return err
	}
	defer leave()
	if err := p.deletion(ctx, organization); err != nil {
		return err
	}
	return store.Deprovision(ctx, p.cfg.Admin, organization)
}

// DeleteNamespace removes the cell's namespace from the engine and tells
// whether it is gone yet: the engine takes its time.
func (p *Platform) DeleteNamespace(ctx context.Context, organization string) (gone bool, err error) {
	if err := p.deletion(ctx, organization); err != nil {
		return false, err
	}
	return p.cfg.DeleteNamespace(ctx, organization)
}

// DeleteForget leaves a tombstone, and destroys once more what a provisioning
// that was stopped too late may have made in between.
func (p *Platform) DeleteForget(ctx context.Context, organization string) error {
	if err := p.DeleteKeys(ctx, organization); err != nil {
		return err
	}
	if err := p.DeleteDatabases(ctx, organization); err != nil {
		return err
	}
	return p.cfg.Control.EndDeletion(ctx, organization,
		store.AuditDraft{Actor: p.cfg.Host, Action: "organization.deleted", Target: organization})
}

// wanted refuses to make anything for an organization that is being deleted, or
// is gone.
func (p *Platform) wanted(ctx context.Context, organization string) error {
	o, err := p.cfg.Control.GetOrganization(ctx, organization)
	if schema.CodeOf(err) == schema.CodeNotFound || (err == nil && o.State == store.OrganizationDeleting) {
		return temporal.NewNonRetryableApplicationError("the organization is being deleted", string(schema.CodeRefused), nil)
	}
	return err
}
