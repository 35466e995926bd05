#!/usr/bin/env bash
# Everything between a fresh Debian or Ubuntu with Python and a working .venv: uv, packages by hash, the project,
# system libraries, third-party files. What is done is stamped with the hash of what it was done from and skipped
# the next time; what cannot be done is said in one sentence.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
LOG=build/set_up.log
LIBRARIES=(libEGL.so.1 libGLESv2.so.2 libGL.so.1 libgthread-2.0.so.0)
PACKAGES=(libegl1 libgles2 libgl1 libgl1-mesa-dri libglib2.0-0)
mkdir -p build
: >"$LOG"

fail() {
    echo "handloom: $1" >&2
    exit 1
}

last_words() { # the end of the log, which says why the step before failed
    grep -v '^[[:space:]]*$' "$LOG" | tail -n 1 | sed 's/^[[:space:]]*//; s/\.$//'
}

find_python() { # one that all packages have wheels for, before any other
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

find_uv() { # prints a working uv; installs one into build/uv when there is none
    local candidate
    for candidate in uv "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv" build/uv/bin/uv; do
        if "$candidate" --version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    local python
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or newer is missing; run \`apt-get install python3 python3-venv\` as root."
    # A --target install leaves the system's packages alone and needs no python3-venv.
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip install --quiet --disable-pip-version-check --target build/uv uv >>"$LOG" 2>&1 ||
            fail "uv could not be installed by pip ($(last_words)); check the network."
    else
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            [ "$(id -u)" = 0 ] ||
                fail "uv, pip and python3-venv are all missing; run \`apt-get install python3-venv\` as root."
            install_packages python3-venv
        fi
        "$python" -m venv build/uv >>"$LOG" 2>&1 || fail "build/uv could not be made ($(last_words))."
        build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv >>"$LOG" 2>&1 ||
            fail "uv could not be installed by pip ($(last_words)); check the network."
    fi
    build/uv/bin/uv --version >/dev/null 2>&1 || fail "the uv that pip brought to build/uv does not run here."
    echo build/uv/bin/uv
}

install_packages() { # Debian packages, as root
    command -v apt-get >/dev/null || fail "$* are needed and there is no apt-get; install them by hand."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >>"$LOG" 2>&1 ||
        fail "apt-get could not install $* ($(last_words)); check the network."
}

missing_libraries() {
    local library known
    known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
    for library in "${LIBRARIES[@]}"; do
        [[ $known == *"$library"* ]] || echo "$library"
    done
}

set_up_libraries() {
    local missing
    missing=$(missing_libraries | paste -sd ' ')
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] ||
        fail "system libraries are missing ($missing); run \`apt-get install ${PACKAGES[*]}\` as root."
    echo "handloom: installing ${PACKAGES[*]}" >&2
    install_packages "${PACKAGES[@]}"
}

set_up_environment() {
    local wanted stamp uv python
    stamp=$VENV/.handloom-set-up
    wanted=$(cat requirements.lock pyproject.toml <(pwd -P) | sha256sum | cut -d ' ' -f 1)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -x $VENV/bin/handloom ] && $VENV/bin/python -V >/dev/null 2>&1; then
        return
    fi
    uv=$(find_uv)
    if ! $VENV/bin/python -V >/dev/null 2>&1; then
        python=$(find_python)
        "$uv" venv --quiet --clear --python "${python:-3.11}" $VENV >>"$LOG" 2>&1 ||
            fail "$VENV could not be made ($(last_words))."
    fi
    echo "handloom: installing the packages of requirements.lock into $VENV (7 GB; the first time takes minutes)" >&2
    "$uv" pip install --quiet --python $VENV --require-hashes -r requirements.lock >>"$LOG" 2>&1 ||
        fail "the packages of requirements.lock could not be installed ($(last_words)); check the network and the disk, and see $LOG."
    "$uv" pip install --quiet --python $VENV --no-deps --no-build-isolation -e . >>"$LOG" 2>&1 ||
        fail "the project could not be installed into $VENV ($(last_words)); see $LOG."
    echo "$wanted" >"$stamp"
}

set_up_assets() { # says by itself in one sentence what is wrong
    $VENV/bin/handloom assets fetch hand-landmarker >>"$LOG" 2>&1 || fail "$(last_words)."
}

set_up_libraries
set_up_environment
set_up_assets
