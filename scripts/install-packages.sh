#!/usr/bin/env bash
# Installs the Debian packages that building and testing lowkey needs, and says which. Does nothing when all are there.
# `install-packages.sh fuzz` adds what the fuzzers need, `check` what formats and checks the code, `ci` both, and
# `bench` what bench/micro needs.
set -euo pipefail

packages=(
    g++ make cmake ninja-build ccache pkg-config          # build
    libdnnl-dev ocl-icd-opencl-dev libeigen3-dev          # dense linear layers (its CMake file asks for OpenCL), eigenvalues
    nlohmann-json3-dev libfmt-dev libcli11-dev
    libpcre2-dev libsentencepiece-dev                     # tokenizers
    libxxhash-dev                                         # fingerprints of checkpoints
    libgtest-dev libgmock-dev python3                     # tests
)
case ${1:-} in
    fuzz | ci) packages+=(clang libclang-rt-14-dev libomp-dev) ;;&
    check | ci) packages+=(clang-format clang-tidy) ;;
    bench) packages+=(libbenchmark-dev) ;;
esac

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

run=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "install-packages: missing ${missing[*]}; run this as root, or install them yourself" >&2
        exit 1
    }
    run=(sudo)
fi
echo "install-packages: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${run[@]}" apt-get -qq update
"${run[@]}" apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
