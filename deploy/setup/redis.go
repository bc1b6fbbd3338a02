package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// redisConfig: TLS only, nothing kept, and a user that can ring and hear the
// bell. Anybody may ask whether it is there.
const redisConfig = `port 0
tls-port %s
tls-cert-file %s
tls-key-file %s
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
save ""
appendonly no
dir /tmp
user default on nopass resetkeys resetchannels -@all +ping
user tenon on >%s resetkeys resetchannels &tenon:bell -@all +@connection +publish +subscribe +unsubscribe +pubsub|numsub
`

// redis makes the configuration of Redis, with its one password, and the
// address that the API and the host reach it at.
func (s setup) redis() error {
	address := s.redisAddress
	password, err := s.secret("redis", "tenon.password")
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(address, ":")
	config := fmt.Sprintf(redisConfig, port, filepath.Join(s.redisPrivate, "tls.pem"), filepath.Join(s.redisPrivate, "tls.key"), password)
	if err := s.write(s.postgres, 0o600, []byte(config), "redis", "redis.conf"); err != nil {
		return err
	}
	u := url.URL{Scheme: "rediss", User: url.UserPassword("tenon", password), Host: address, Path: "/0"}
	for _, service := range []string{"api", "host"} {
		if err := s.write(s.owner, 0o600, []byte(u.String()), service, "redis-url"); err != nil {
			return err
		}
	}
	return nil
}
