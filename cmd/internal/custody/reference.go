package custody

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// The schemes of keys that wrap a private half.
const (
	schemeVault = "hashivault"
	schemeAWS   = "awskms"
	schemeGCP   = "gcpkms"
	schemeAzure = "azurekeyvault"
)

// schemes is what a reference to a key begins with, and an example of each.
var schemes = map[string]string{
	schemeVault: "hashivault://NAME?engine=transit",
	schemeAWS:   "awskms:///arn:aws:kms:REGION:ACCOUNT:key/ID?region=REGION or awskms://alias/NAME?region=REGION",
	schemeGCP:   "gcpkms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/NAME",
	schemeAzure: "azurekeyvault://VAULT.vault.azure.net/keys/NAME",
}

// Remote tells whether a setting names a key of a provider, and not a file.
func Remote(value string) bool { return strings.Contains(value, "://") }

// Check says what is wrong with a setting that names a key, without asking a provider.
func Check(setting, value string) error {
	if !Remote(value) {
		return nil
	}
	_, err := identify(setting, value)
	return err
}

// identity is what a reference names, however it is spelled: two references with
// one identity are one key. Region is empty where the reference leaves it to the
// environment; a key of AWS that is named by its id has none, the id is unique.
type identity struct{ scheme, name, region string }

var (
	arn   = regexp.MustCompile(`^arn:[a-z0-9-]+:kms:([a-z0-9-]+):[0-9]+:(key|alias)/(.+)$`)
	gcp   = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+`)
	azure = regexp.MustCompile(`^[^/]+\.vault\.[a-z.]+/keys/[^/]+`)
)

func identify(setting, value string) (identity, error) {
	bad := func() (identity, error) {
		return identity{}, schema.Errorf(schema.CodeInvalid, "setting %s must be a file, or a key such as %s, %s, %s or %s",
			setting, schemes[schemeVault], schemes[schemeAWS], schemes[schemeGCP], schemes[schemeAzure])
	}
	u, err := url.Parse(value)
	if err != nil || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return bad()
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad()
	}
	for _, values := range query {
		if len(values) != 1 {
			return bad() // Which of them counts is the provider's secret.
		}
	}
	name := strings.Trim(path.Join(u.Host, u.Path), "/")
	switch u.Scheme {
	case schemeVault:
		engine := strings.Trim(path.Clean("/"+query.Get("engine")), "/")
		if engine == "" {
			engine = "transit"
		}
		if name == "" || name == "." {
			return bad()
		}
		return identity{scheme: u.Scheme, name: engine + "/" + name}, nil
	case schemeAWS:
		return identifyAWS(name, query.Get("region"), bad)
	case schemeGCP:
		if name = gcp.FindString(name); name == "" {
			return bad()
		}
		return identity{scheme: u.Scheme, name: name}, nil
	case schemeAzure:
		// Names of vaults and of keys do not tell case apart; a version is one of
		// the key.
		if name = azure.FindString(strings.ToLower(name)); name == "" {
			return bad()
		}
		return identity{scheme: u.Scheme, name: name}, nil
	default:
		return bad()
	}
}

func identifyAWS(name, region string, bad func() (identity, error)) (identity, error) {
	if m := arn.FindStringSubmatch(name); m != nil {
		region, name = m[1], m[3]
		if m[2] == "alias" {
			name = "alias/" + name
		}
	}
	switch {
	case strings.HasPrefix(name, "alias/"):
		return identity{scheme: schemeAWS, name: name, region: region}, nil
	case name == "" || strings.ContainsAny(name, "/:"):
		return bad()
	default:
		return identity{scheme: schemeAWS, name: strings.ToLower(name)}, nil
	}
}

// Same tells whether two settings name one key: two spellings of it, or two paths to
// one file. What only a provider can tell apart, such as an alias and the key that
// it stands for, is found out when the keys are made (see [Apart]).
func Same(a, b string) bool {
	if Remote(a) != Remote(b) {
		return false
	}
	if !Remote(a) {
		return sameFile(a, b)
	}
	ia, errA := identify("", a)
	ib, errB := identify("", b)
	if errA != nil || errB != nil || ia.scheme != ib.scheme || ia.name != ib.name {
		return false
	}
	return ia.region == ib.region || ia.region == "" || ib.region == ""
}

func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	ia, err := os.Stat(a)
	if err != nil {
		return false
	}
	ib, err := os.Stat(b)
	return err == nil && os.SameFile(ia, ib)
}
