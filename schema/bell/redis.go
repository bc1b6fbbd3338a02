package bell

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tenonhq/tenon/schema"
)

const (
	// channel is the name of the bell in Redis.
	channel = "tenon:bell"
	// queue bounds the rings that wait to be sent.
	queue = 1024
	// sendPatience bounds one publication.
	sendPatience = time.Second
	// firstPause and longestPause bound the wait before Redis is asked again.
	firstPause, longestPause = 100 * time.Millisecond, 10 * time.Second
)

// CheckRedisURL says what is wrong with an address of Redis. Beyond loopback
// and Unix sockets only verified TLS is used. It never quotes the address,
// which may hold a password.
func CheckRedisURL(url string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "not an address of Redis, such as rediss://user@host:6379/0")
	}
	if options.TLSConfig != nil {
		if options.TLSConfig.InsecureSkipVerify {
			return schema.Errorf(schema.CodeInvalid, "the certificate of Redis must be verified: leave skip_verify out")
		}
		return nil
	}
	if options.Network == "unix" {
		return nil
	}
	host, _, err := net.SplitHostPort(options.Addr)
	if err == nil && (host == "localhost" || strings.HasPrefix(host, "127.") && net.ParseIP(host) != nil || host == "::1") {
		return nil
	}
	return schema.Errorf(schema.CodeInvalid, "beyond this machine Redis is reached with verified TLS only: use rediss://")
}

func dial(url string) (*redis.Client, error) {
	if err := CheckRedisURL(url); err != nil {
		return nil, err
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "not an address of Redis")
	}
	options.PoolSize = 2
	return redis.NewClient(options), nil
}

type redisRinger struct {
	client *redis.Client
	rings  chan string
	cancel context.CancelFunc
	done   chan struct{}
}

// ToRedis rings every host that hears the Redis server at url.
func ToRedis(url string) (Ringer, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &redisRinger{client: client, rings: make(chan string, queue), cancel: cancel, done: make(chan struct{})}
	go r.send(ctx)
	return r, nil
}

func (r *redisRinger) send(ctx context.Context) {
	defer close(r.done)
	for {
		select {
		case <-ctx.Done():
			return
		case organization := <-r.rings:
			bounded, cancel := context.WithTimeout(ctx, sendPatience)
			_ = r.client.Publish(bounded, channel, organization).Err() // Lost: the cells sweep.
			cancel()
		}
	}
}

// Ring implements [Ringer].
func (r *redisRinger) Ring(organization string) {
	select {
	case r.rings <- organization:
	default:
	}
}

// Close implements [Ringer].
func (r *redisRinger) Close() error {
	r.cancel()
	<-r.done
	return r.client.Close()
}

type redisListener struct{ client *redis.Client }

// OnRedis hears the Redis server at url.
func OnRedis(url string) (Listener, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	return redisListener{client}, nil
}

// Listen implements [Listener]. It subscribes again after the server was away.
func (l redisListener) Listen(ctx context.Context, rung chan<- string) {
	pause := firstPause
	for ctx.Err() == nil {
		subscription := l.client.Subscribe(ctx, channel)
		// A blocked read does not follow the context by itself.
		stop := context.AfterFunc(ctx, func() { _ = subscription.Close() })
		for {
			message, err := subscription.ReceiveMessage(ctx)
			if err != nil {
				break
			}
			pause = firstPause
			hear(rung, message.Payload)
		}
		if stop() {
			_ = subscription.Close()
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
		pause = min(2*pause, longestPause)
	}
}

// Close implements [Listener].
func (l redisListener) Close() error { return l.client.Close() }
