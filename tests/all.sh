#!/usr/bin/env bash
# Runs every check and test, goes on after a failure, and closes with one summary line.
# `make test` and continuous integration run this.
set -uo pipefail
cd "$(dirname "$0")/.."

# Where Debian keeps haproxy, nginx and their like.
export PATH="$PATH:/usr/sbin:/sbin"
bash tests/setup.sh

output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
failed=()

# step NAME COMMAND...: shows the command's output and remembers whether it failed.
step() {
    local name=$1
    shift
    printf '\n=== %s\n' "$name"
    "$@" 2>&1 | tee -a "$output/log" || failed+=("$name")
}

step format cargo fmt --all --check
step clippy cargo clippy --all-targets -- -D warnings
step tests cargo test --no-fail-fast
step documentation env RUSTDOCFLAGS='-D warnings -D rustdoc::broken_intra_doc_links' \
    cargo doc --no-deps --document-private-items

# Every runner closes with: test result: ok. 12 passed; 0 failed; 1 ignored; ...
read -r passed failures skipped < <(awk '
    /^test result: / { passed += $4; failed += $6; ignored += $8 }
    END { print passed + 0, failed + 0, ignored + 0 }' "$output/log")
echo
for name in "${failed[@]}"; do
    echo "step failed: $name"
done
# Nothing is skipped silently.
sed -nE 's/^test (.* \.\.\. ignored.*)/skipped: \1/p' "$output/log"
# The runners count their tests; every other step counts as one, and so do tests that never ran.
for name in "${failed[@]}"; do
    [[ $name == tests && $failures -gt 0 ]] || others=$((${others:-0} + 1))
done
failures=$((failures + ${others:-0}))
echo "summary: $passed passed, $failures failed, $skipped skipped"
[[ $failures -eq 0 && $passed -gt 0 ]]
