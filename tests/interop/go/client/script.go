package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"interop/ext"
	"interop/wire"
)

const (
	mgrSocket = "sysmgr.sock"
	fsSocket  = "sysfs.sock"
)

// The constructors of the generated clients.
var clients = map[string]func(grpc.ClientConnInterface) any{
	"protobuf.sysboxMgrStateChannel":     func(c grpc.ClientConnInterface) any { return wire.NewSysboxMgrStateChannelClient(c) },
	"protobuf.sysboxStateChannel":        func(c grpc.ClientConnInterface) any { return wire.NewSysboxStateChannelClient(c) },
	"sysbox.mgr.ext.v1.ManagerExtension": func(c grpc.ClientConnInterface) any { return ext.NewManagerExtensionClient(c) },
}

// One call of a script.
type call struct {
	method   string
	socket   string
	request  proto.Message
	response proto.Message // nil where any is right
	code     codes.Code
	message  string
	times    int
}

func readScript(path string, values []string) ([]*call, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := string(data)
	for _, value := range values {
		name, value, _ := strings.Cut(value, "=")
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	var entries []struct {
		Method   string
		Request  json.RawMessage
		Response json.RawMessage
		Code     string
		Message  string
		Times    int
	}
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		return nil, err
	}
	calls := make([]*call, 0, len(entries))
	for _, entry := range entries {
		made := &call{method: entry.Method, socket: mgrSocket, message: entry.Message, times: max(entry.Times, 1)}
		if strings.HasPrefix(entry.Method, "protobuf.sysboxStateChannel/") {
			made.socket = fsSocket
		}
		if err := made.fill(entry.Request, entry.Response, entry.Code); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Method, err)
		}
		calls = append(calls, made)
	}
	return calls, nil
}

// Reads what the messages are made of into the method's own types.
func (c *call) fill(request, response json.RawMessage, code string) error {
	method, err := c.generated(nil)
	if err != nil {
		return err
	}
	c.request = reflect.New(method.Type().In(1).Elem()).Interface().(proto.Message)
	if err := protojson.Unmarshal(request, c.request); err != nil {
		return err
	}
	if response != nil {
		c.response = reflect.New(method.Type().Out(0).Elem()).Interface().(proto.Message)
		if err := protojson.Unmarshal(response, c.response); err != nil {
			return err
		}
	}
	if code != "" {
		return c.code.UnmarshalJSON([]byte(`"` + code + `"`))
	}
	return nil
}

// The method of the generated client.
func (c *call) generated(connection grpc.ClientConnInterface) (reflect.Value, error) {
	service, name, _ := strings.Cut(c.method, "/")
	constructor, ok := clients[service]
	if !ok {
		return reflect.Value{}, fmt.Errorf("no service %q", service)
	}
	method := reflect.ValueOf(constructor(connection)).MethodByName(name)
	if !method.IsValid() {
		return reflect.Value{}, fmt.Errorf("no method %q", name)
	}
	return method, nil
}

func (c *call) invoke(ctx context.Context, connection *grpc.ClientConn) (proto.Message, error) {
	method, err := c.generated(connection)
	if err != nil {
		return nil, err
	}
	answer := method.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(c.request)})
	err, _ = answer[1].Interface().(error)
	response, _ := answer[0].Interface().(proto.Message)
	return response, err
}

func contains(text, part string) bool { return strings.Contains(text, part) }
