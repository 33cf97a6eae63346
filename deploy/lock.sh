#!/bin/sh
# Makes the locks in requirements/ from the dependency groups in pyproject.toml (`make lock`). Pins that still fit are
# kept; `deploy/lock.sh --upgrade` moves all of them. See requirements/README.md for who installs which file.
set -eu
cd "$(dirname "$0")/.."

lock() {
    uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 "$@"
}

lock --no-emit-package torch --group dev --output-file requirements/dev.txt "$@"

# Without the project's settings, which hide what torch's default build for Linux needs from CUDA.
torch=$(sed -n 's/^ *"\(torch==[^"]*\)",$/\1/p' pyproject.toml)
echo "$torch" | lock --no-config --constraint requirements/dev.txt --output-file requirements/torch.txt - "$@"

# Training and serving on a GPU get the same CUDA libraries: those that torch was built with.
for group in serve-cpu serve-gpu train; do
    lock --no-emit-package torch --group "$group" --constraint requirements/dev.txt \
        --constraint requirements/torch.txt --output-file "requirements/$group.txt" "$@"
done
