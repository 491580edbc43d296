#!/bin/sh
#   python.sh SOURCE_DIR BUILD_DIR MODEL
set -eu
. "$1/tests/bindings/lib.sh"
python3 --version > /dev/null 2>&1 || skip "there is no python3"

bindings=$source_dir/c_api/bindings/python
export PYTHONPATH="$bindings" PYTHONDONTWRITEBYTECODE=1
chats python3 "$bindings/examples/chat.py"
hosts python3 "$bindings/examples/allocator.py"
refuses python3 "$bindings/examples/chat.py"
python3 "$source_dir/tests/bindings/calls.py"
documented python > "$scratch/program.py"
answers python3 program.py
