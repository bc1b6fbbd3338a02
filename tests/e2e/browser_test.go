//go:build browser

package e2e

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// TestTheTemporalUIInABrowser signs in with an operator's token, finds a run by
// its id and reads its payloads decoded, as a person does; an operator of another
// organization sees nothing of it.
func TestTheTemporalUIInABrowser(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"now": billing("")})
	s.accepted(t, "now", "seen-in-a-browser")
	run := s.reach(t, 20*time.Second, "completed", 1)[0].ID
	link := s.run(t, run).Engine
	other, _ := p.organization(t, "Other")

	page := newBrowser(t)
	page.signIn(t, p, "eyJub3QiOiJvbmUifQ")
	page.shows(t, "The token is not valid")
	page.signIn(t, p, p.operatorToken(t, s.org))
	page.shows(t, "Workflows")
	page.opens(t, link)
	page.clicks(t, `a[href*="/workflows/car_"]`)
	page.shows(t, `"digest"`)
	page.shows(t, run)

	stranger := newBrowser(t)
	stranger.signIn(t, p, p.operatorToken(t, other))
	stranger.shows(t, "Workflows")
	stranger.opens(t, page.location(t))
	stranger.shows(t, "Operator token")
}

// browser is one window of a Chromium with a profile of its own.
type browser struct{ ctx context.Context }

func newBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1400, 1000))
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	ctx, endTime := context.WithTimeout(ctx, 2*time.Minute)
	b := &browser{ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			b.picture(t)
		}
		endTime()
		end()
		endAllocator()
	})
	require.NoError(t, chromedp.Do(ctx), "the browser did not start: install what .ci/deps names")
	return b
}

func (b *browser) opens(t *testing.T, address string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Navigate(address)), address)
}

// signIn fills in the login form and sends it.
func (b *browser) signIn(t *testing.T, p *platform, token string) {
	t.Helper()
	b.opens(t, "http://"+p.ui+"/")
	require.NoError(t, chromedp.Do(b.ctx,
		chromedp.WaitVisible("#token"), chromedp.SetValue("#token", token),
		chromedp.Click("button[type=submit]")))
}

func (b *browser) clicks(t *testing.T, selector string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.WaitVisible(selector), chromedp.Click(selector)))
}

// location is the address of the page.
func (b *browser) location(t *testing.T) string {
	t.Helper()
	address, err := chromedp.Run(b.ctx, chromedp.Location())
	require.NoError(t, err)
	return address
}

// shows waits until a person reads the text on the page. In the middle of a
// navigation there is none to read.
func (b *browser) shows(t *testing.T, text string) {
	t.Helper()
	eventually(t, 20*time.Second, "the page shows "+text, func() bool {
		shown, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		return err == nil && strings.Contains(shown, text)
	})
}

// picture keeps what the page looked like when a test failed.
func (b *browser) picture(t *testing.T) {
	t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Logf("no picture of the page: %v", err)
		return
	}
	// It outlives the test, for whoever looks into why it failed.
	f, err := os.CreateTemp("", "tenon-browser-*.png") //nolint:usetesting // As said.
	if err != nil {
		t.Logf("no picture of the page: %v", err)
		return
	}
	_, err = f.Write(png)
	require.NoError(t, errors.Join(err, f.Close()))
	t.Log("a picture of the page is in " + f.Name())
}
