// A client with nothing of ours in it, which connects as Sysbox's own clients do: it makes the calls of a script and checks every
// answer. The package wire of the Python programs beside this says what a script is.
//
// Usage: client SOCKET-DIR SCRIPT each|kept [NAME=VALUE]...
//
// With "each" every call has a connection of its own, as in Sysbox; with "kept" all calls share one for each socket. Prints a line
// for each check, then the number of checks; the exit code is 1 if one failed.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// How long a call may take on a machine that has much else to do.
const deadline = 30 * time.Second

type client struct {
	dir            string
	connections    connections
	checks, failed int
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: client SOCKET-DIR SCRIPT each|kept [NAME=VALUE]...")
		os.Exit(2)
	}
	calls, err := readScript(os.Args[2], os.Args[4:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "client: %s: %v\n", os.Args[2], err)
		os.Exit(2)
	}
	fmt.Println("grpc-go", grpc.Version)
	c := &client{dir: os.Args[1], connections: connections{keep: os.Args[3] == "kept"}}
	for _, call := range calls {
		c.make(call)
	}
	c.checkHealth()
	c.connections.close()
	fmt.Printf("%d checks, %d failed\n", c.checks, c.failed)
	if c.failed > 0 || c.checks == 0 {
		os.Exit(1)
	}
}

func (c *client) check(ok bool, format string, arguments ...any) {
	c.checks++
	word := "ok "
	if !ok {
		c.failed++
		word = "FAILED "
	}
	fmt.Printf(word+format+"\n", arguments...)
}

// Makes a call, as often as it says, at once, and checks all answers.
func (c *client) make(call *call) {
	type answer struct {
		response proto.Message
		err      error
	}
	answers := make([]answer, call.times)
	var group sync.WaitGroup
	for at := range answers {
		group.Add(1)
		go func(answer *answer) {
			defer group.Done()
			answer.response, answer.err = c.once(call)
		}(&answers[at])
	}
	group.Wait()
	for _, answer := range answers {
		code, message := status.Code(answer.err), status.Convert(answer.err).Message()
		ok := code == call.code && contains(message, call.message)
		if ok && call.response != nil {
			ok = proto.Equal(answer.response, call.response)
		}
		c.check(ok, "%s: want %s %q %v, have %s %q %v",
			call.method, call.code, call.message, call.response, code, message, answer.response)
	}
}

func (c *client) once(call *call) (proto.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var response proto.Message
	err := c.connections.with(filepath.Join(c.dir, call.socket), func(connection *grpc.ClientConn) (err error) {
		response, err = call.invoke(ctx, connection)
		return err
	})
	return response, err
}

func (c *client) checkHealth() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for _, socket := range []string{mgrSocket, fsSocket} {
		var answer *grpc_health_v1.HealthCheckResponse
		err := c.connections.with(filepath.Join(c.dir, socket), func(connection *grpc.ClientConn) (err error) {
			answer, err = grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			return err
		})
		c.check(err == nil && answer.Status == grpc_health_v1.HealthCheckResponse_SERVING, "health of %s: %v %v", socket, answer, err)
	}
}
