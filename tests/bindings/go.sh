#!/bin/sh
#   go.sh SOURCE_DIR BUILD_DIR MODEL
set -eu
. "$1/tests/bindings/lib.sh"
go version > /dev/null 2>&1 || skip "there is no go"

# Built beside the rest of the build, so that the next time is quick. Nothing is fetched.
export CGO_LDFLAGS="-L$library" CGO_ENABLED=1
export GOCACHE="$build/bindings/go-cache" GOPATH="$scratch/go" GOPROXY=off GOTOOLCHAIN=local
export GOFLAGS="-mod=readonly -buildvcs=false"
bin=$build/bindings/go
mkdir -p "$bin"
cd "$source_dir/c_api/bindings/go"
go vet ./...
go build -o "$bin/" ./examples/chat ./examples/guest
chats "$bin/chat"
hosts "$bin/guest"
grep -q "^[1-9][0-9]* loops on goroutines of our own" "$scratch/account"
refuses "$bin/chat"
go test -count=1 .

# As a stranger's module.
mkdir "$scratch/program"
documented go > "$scratch/program/main.go"
{
  printf 'module program\n\ngo 1.19\n\n'
  documented text | sed "s|/path/to/junto|$source_dir|"
} > "$scratch/program/go.mod"
cd "$scratch/program"
go build -o "$bin/program" .
answers "$bin/program"
