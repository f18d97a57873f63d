# Sourced by the scripts beside it that build: installs what is missing, configures, builds.
# Environment: FLASHBENCH_CUDA=AUTO|ON|OFF, FLASHBENCH_WERROR=ON|OFF, JOBS (default: all cores).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release

program_packages=(g++ cmake ninja-build pkg-config git libcli11-dev libfmt-dev nlohmann-json3-dev
  libhwy-dev libadolc-dev libmd-dev)
package_packages=(gcc dpkg-dev file python3 python3-venv)
test_packages=(libgtest-dev libgmock-dev libvalijson-dev python3 python3-venv)

say() { printf 'setup: %s\n' "$*" >&2; }

# install_missing PACKAGE...: touches the network only when one of them is missing.
install_missing() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Not Debian: trust what the configure step finds, if the tools are there at all.
    if command -v cmake >/dev/null && command -v ninja >/dev/null && [ -e "$build/build.ninja" ]; then
      return
    fi
    say "apt-get is not here, so nothing can be installed. flashbench needs (Debian's names):"
    say "  $*"
    say "Install these with your system's package manager, then run: cmake --preset release && cmake --build --preset release"
    exit 3
  fi
  local installed missing=() package
  installed=" $(dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null |
    awk '$NF == "installed" {print $1}' | tr '\n' ' ' || true)"  # fails for a package it never heard of
  for package in "$@"; do
    [[ $installed == *" $package "* ]] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "about to install with apt-get: ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "not root and no sudo: install them yourself, then run this again"; exit 3; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -q >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    "${missing[@]}" >&2
}

# install_python VENV PACKAGE...: PyPI packages into a virtual environment, only when one is missing. MODULE=PACKAGE where
# Python knows it by another name.
install_python() {
  local venv=$1 package
  shift
  for package in "$@"; do
    "$venv/bin/python" -c "import ${package%%=*}" 2>/dev/null && continue
    say "about to install ${*#*=} (PyPI) into $venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check "${@#*=}"
    return
  done
}

# cached NAME: the value that the build folder was configured with.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt" 2>/dev/null || true; }

# configure [-DNAME=VALUE...]: only when something asked for differs from the build folder.
configure() {
  local wanted=("$@") stale=no option
  [ -n "${FLASHBENCH_CUDA:-}" ] && wanted+=("-DFLASHBENCH_CUDA=$FLASHBENCH_CUDA")
  [ -n "${FLASHBENCH_WERROR:-}" ] && wanted+=("-DFLASHBENCH_WERROR=$FLASHBENCH_WERROR")
  [ -e "$build/build.ninja" ] || stale=yes
  for option in "${wanted[@]}"; do
    option=${option#-D}
    [ "$(cached "${option%%=*}")" = "${option#*=}" ] || stale=yes
  done
  [ $stale = no ] && return
  say "configuring $build"
  (cd "$root" && cmake --preset release "${wanted[@]}") >&2
}

# compile TARGET...: quiet unless it fails or has something to do.
compile() {
  local jobs=${JOBS:-$(nproc)}
  ninja -C "$build" -j "$jobs" --quiet "$@" >&2
}
