# shellcheck shell=bash
# Shared by the scripts of this directory; sourced, never run. Everything they need is installed here, once: a step
# that was done before is recognised by what it depends on and takes no time. Nothing is written outside this
# checkout but Debian packages, the test hosts' images and, for ansible-test, one file in its own cache.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=$ROOT/.cache
LOGS=$CACHE/log
VENV=$CACHE/venv
CHECKOUT=$(printf %s "$ROOT" | sha256sum | cut -c1-8)   # tells the hosts of two checkouts apart

# --- talking to the reader -------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# step "what is being waited for" command...
# Says what it waits for, keeps the output in a log, and shows its end when the command fails.
step() {
    local what=$1 log began=$SECONDS
    shift
    mkdir -p "$LOGS"
    log=$LOGS/$(printf %s "$what" | tr -cs 'A-Za-z0-9.' '-').log
    printf '  %s …' "$what"
    if "$@" >"$log" 2>&1 </dev/null; then
        printf ' %d s\n' $((SECONDS - began))
    else
        printf ' failed after %d s; the end of %s:\n' $((SECONDS - began)) "$log"
        tail -n 40 "$log" | sed 's/^/    /'
        return 1
    fi
}

# once NAME KEY "what" command...: runs the step unless it succeeded before with the same key.
once() {
    local stamp=$CACHE/done/$1 key=$2
    shift 2
    [[ -e $stamp && $(<"$stamp") == "$key" ]] && return
    step "$@" || return
    mkdir -p "$CACHE/done"
    printf %s "$key" >"$stamp"
}

# locked NAME command...: one at a time among all processes of this checkout.
locked() {
    local name=$1
    shift
    mkdir -p "$CACHE/lock"
    (
        flock 9
        "$@"
    ) 9>"$CACHE/lock/$name"
}

# --- the machine -----------------------------------------------------------------------------------------------------

# The test hosts are privileged containers and tests reach them by address: both need root. Starts the script again
# under sudo for anybody else.
become_root() {
    [[ $EUID -eq 0 ]] && return
    command -v sudo >/dev/null || fail "run this as root, or install sudo: test hosts are privileged containers"
    say "Starting again with sudo: test hosts are privileged containers."
    exec sudo -E -H "$BASH" "$0" "$@"
}

has_package() { [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
has_cgroup_v2() { [[ $(stat --file-system --format %T /sys/fs/cgroup) == cgroup2fs ]]; }

# The newest Python the development tools run on that can make virtual environments; empty if there is none.
find_python() {
    local python
    for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
}

# What is missing on this machine, as a list of Debian packages.
missing_packages() {
    local package wanted=(ca-certificates curl git mmdebstrap openssh-client openssl podman)
    has_cgroup_v2 || wanted+=(runc)                      # crun refuses the hybrid layout of cgroup v1
    has_package containernetworking-plugins || wanted+=(netavark)
    wanted+=(iproute2 iptables)                          # what both of them set the network up with
    [[ $(. /etc/os-release && echo "${ID-}") == debian ]] || wanted+=(debian-archive-keyring)
    for package in "${wanted[@]}"; do
        case $package in
            curl | git | mmdebstrap | openssl | podman | runc) command -v "$package" >/dev/null || echo "$package" ;;
            openssh-client) command -v ssh-keygen >/dev/null || echo "$package" ;;
            *) has_package "$package" || echo "$package" ;;
        esac
    done
    [[ -n $(find_python) ]] || echo python3-venv
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update && apt-get -q -y --no-install-recommends install "$@" || return
    podman info || true # what it says of its first start belongs here
}

setup_machine() {
    local missing
    command -v apt-get >/dev/null || fail "only Debian and Ubuntu machines are supported: apt-get is not here"
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} -eq 0 ]] && return
    [[ $EUID -eq 0 ]] || fail "this machine lacks ${missing[*]}: run this as root once"
    step "Installing Debian packages: ${missing[*]}" install_packages "${missing[@]}" || return
    [[ -n $(find_python) ]] || fail "no Python 3.11 or newer: ansible-core 2.19 needs one (Debian 12 and Ubuntu 24.04 have it)"
}

# --- the development environment -------------------------------------------------------------------------------------

# Variables for everything that runs here: tools of the venv first, the collection found by its full name, Ansible's
# and Molecule's state inside the checkout, the machine's own idea of which certificates to trust.
setup_variables() {
    local bundle=/etc/ssl/certs/ca-certificates.crt index
    export PATH=$VENV/bin:$PATH
    export ANSIBLE_HOME=$ROOT/.ansible ANSIBLE_COLLECTIONS_PATH=$ROOT/.ansible/collections
    export MOLECULE_GLOB='molecule/*/molecule.yml'
    # No bytecode in the tree, which is copied and searched; without any, each start compiles the collection's plugins anew.
    export PYTHONPYCACHEPREFIX=$CACHE/pycache
    unset PYTHONDONTWRITEBYTECODE # else each start would compile the standard library too: its own bytecode is not looked at
    # Of this checkout alone: Ansible's own choice would let two checkouts share a connection to hosts of one name.
    # A socket's path may have 108 characters, so a deep checkout has it elsewhere.
    export ANSIBLE_SSH_CONTROL_PATH_DIR=$ROOT/.ansible/cp
    [[ ${#ROOT} -lt 50 ]] || ANSIBLE_SSH_CONTROL_PATH_DIR=/tmp/groundwork-ssh-$EUID-$CHECKOUT
    if [[ -r $bundle ]]; then
        export SSL_CERT_FILE=${SSL_CERT_FILE:-$bundle} REQUESTS_CA_BUNDLE=${REQUESTS_CA_BUNDLE:-$bundle}
    fi
    # uv does not read pip's configuration, and a machine that has a mirror has it there.
    if [[ -z ${UV_DEFAULT_INDEX-} && -x $VENV/bin/pip ]]; then
        index=$("$VENV/bin/pip" config get global.index-url 2>/dev/null || true)
        [[ -z $index ]] || export UV_DEFAULT_INDEX=$index
    fi
    export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180} UV_LINK_MODE=copy
    unset VIRTUAL_ENV PYTHONPATH
}

make_venv() {
    # An environment that works is brought up to date, not thrown away.
    local uv
    uv=$(sed -n 's/^ *"\(uv>[^"]*\)",$/\1/p' "$ROOT/pyproject.toml")
    "$VENV/bin/python" -c 'import pip' 2>/dev/null || "$(find_python)" -m venv --clear "$VENV" || return
    [[ -x $VENV/bin/uv ]] || "$VENV/bin/python" -m pip install "$uv" || return
    setup_variables
    cd "$ROOT" && "$VENV/bin/uv" pip install --python "$VENV/bin/python" --group dev || return
    "$VENV/bin/python" -m compileall -q -j 0 "$VENV/lib" || true # what cannot be is compiled at each start
}

setup_tools() {
    local link=$ROOT/.ansible/collections/ansible_collections/groundwork/flask
    [[ -x $VENV/bin/ansible ]] || rm -f "$CACHE/done/venv"
    once venv "$(sha256sum <"$ROOT/pyproject.toml")" "Installing the development tools into .cache/venv" make_venv || return
    [[ -e $CACHE/cloud-init/schema-cloud-config-v1.json ]] || step "Fetching the schema of cloud-init" fetch_cloud_init_schema || return
    if [[ ! -e $link ]]; then
        mkdir -p "${link%/*}"
        ln -sfn ../../../.. "$link"
    fi
}

# What cloud-init takes, of the distribution's package: user data is compared with it.
fetch_cloud_init_schema() {
    local directory=$CACHE/cloud-init
    rm -rf "$directory" && mkdir -p "$directory/package" && cd "$directory" || return
    apt-get download cloud-init || { apt-get -q update && apt-get download cloud-init; } || return
    dpkg-deb --extract cloud-init_*.deb package && mv package/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json . &&
        rm -rf package cloud-init_*.deb
}

# Everything but the images of the test hosts, which script/test-host builds when a host is first asked for.
setup() {
    locked setup setup_machine && locked setup setup_tools && setup_variables
}
