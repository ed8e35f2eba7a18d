package main

import (
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// Connections to sockets: one for each call, or one for each socket.
type connections struct {
	keep bool
	lock sync.Mutex
	kept map[string]*grpc.ClientConn
}

// Dials as Sysbox's clients do: the bare path is the target, and so what the authority is made of.
func dial(path string) (*grpc.ClientConn, error) {
	return grpc.Dial(
		path,
		grpc.WithInsecure(),
		grpc.WithDialer(func(addr string, timeout time.Duration) (net.Conn, error) {
			return net.DialTimeout("unix", addr, timeout)
		}),
	)
}

// Does something with a connection.
func (c *connections) with(path string, do func(*grpc.ClientConn) error) error {
	if !c.keep {
		connection, err := dial(path)
		if err != nil {
			return err
		}
		defer connection.Close()
		return do(connection)
	}
	connection, err := c.of(path)
	if err != nil {
		return err
	}
	return do(connection)
}

func (c *connections) of(path string) (*grpc.ClientConn, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if connection, ok := c.kept[path]; ok {
		return connection, nil
	}
	connection, err := dial(path)
	if err != nil {
		return nil, err
	}
	if c.kept == nil {
		c.kept = make(map[string]*grpc.ClientConn)
	}
	c.kept[path] = connection
	return connection, nil
}

func (c *connections) close() {
	for _, connection := range c.kept {
		connection.Close()
	}
}
