package main

import (
	"github.com/tenonhq/tenon/schema/bell"
)

// bells are the bell of this machine and, when there are several, of all.
type bells []bell.Ringer

func (e env) ringers() (bells, error) {
	local, err := bell.ToUnix(e.bell)
	if err != nil {
		return nil, err
	}
	out := bells{bell.Calm(local)}
	if !e.Redis.IsZero() {
		all, err := bell.ToRedis(string(e.Redis.Reveal()))
		if err != nil {
			out.close()
			return nil, err
		}
		out = append(out, bell.Calm(all))
	}
	return out, nil
}

func (b bells) ring(organization string) {
	for _, r := range b {
		r.Ring(organization)
	}
}

func (b bells) close() {
	for _, r := range b {
		_ = r.Close()
	}
}

func (e env) listeners() ([]bell.Listener, error) {
	local, err := bell.OnUnix(e.bell)
	if err != nil {
		return nil, err
	}
	out := []bell.Listener{local}
	if !e.Redis.IsZero() {
		all, err := bell.OnRedis(string(e.Redis.Reveal()))
		if err != nil {
			_ = local.Close()
			return nil, err
		}
		out = append(out, all)
	}
	return out, nil
}
