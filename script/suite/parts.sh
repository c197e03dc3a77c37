#!/usr/bin/env bash
# One part of the suite, as script/suite runs it:  parts.sh PART MANNER [ARGUMENT…]
#
# A part that is no scenario is a function of this file; its arguments are files or tests to confine it to. A scenario runs
# in one of these manners, with the environment that script/suite/plan.py gives it:
#
#   whole    everything, from new hosts to their removal
#   beside   without the tests that must run alone; the hosts stay for these
#   alone    only these, then the hosts are removed
#   kept     converge and verify on hosts that an earlier change has left, where nothing they are made of has changed since
set -uo pipefail
# shellcheck source=script/_common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../_common.sh"
cd "$ROOT" || exit
setup_variables

# files [pattern…]: the project's own files, NUL-terminated: what git would commit, or all but what is generated.
files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard -- "$@"
    else
        find . \( -name .cache -o -name .ansible -o -name __pycache__ \) -prune -o -type f -printf '%P\0' |
            grep -zE "$(printf '%s\n' "${@:-*}" | sed 's/[.]/\\./g; s/[*]/.*/g; s/^/^/; s/$/$/' | paste -sd '|')"
    fi | while IFS= read -r -d '' file; do if [[ -e $file ]]; then printf '%s\0' "$file"; fi; done
}

# with_first_line REGULAR-EXPRESSION: those of the project's files that begin so; a template is no program yet.
with_first_line() {
    files | while IFS= read -r -d '' file; do
        [[ -f $file && ! -L $file && $file != *.j2 ]] || continue
        if head -n 1 "$file" | LC_ALL=C grep -aqE "$1"; then printf '%s\0' "$file"; fi
    done
}

# all_of "command"…: runs them all; fails when one failed.
all_of() {
    local command status=0
    for command in "$@"; do
        printf '\n--- %s\n' "$command"
        eval "$command" || status=1
    done
    return $status
}

# --- parts that are no scenario ------------------------------------------------------------------------------------

# lint [FILE…]: all of the project, or these files.
lint() {
    if [[ $# -gt 0 ]]; then
        lint_files "$@"
    else
        all_of 'yamllint --strict .' 'ansible-lint --offline' 'ruff check .' 'ruff format --check .' \
            "with_first_line '$SHELL_PROGRAM' | xargs -0 shellcheck --external-sources"
    fi
}

SHELL_PROGRAM='^(#!.*(/| )(ba|da|)sh( |$)|# shellcheck )'

lint_files() {
    local file yaml=() python=() shell=() commands=()
    for file in "$@"; do
        [[ -f $file ]] || continue
        case $file in *.yml) yaml+=("'$file'") ;; *.py) python+=("'$file'") ;; esac
        ! head -n 1 "$file" | LC_ALL=C grep -aqE "$SHELL_PROGRAM" || [[ $file == *.j2 ]] || shell+=("'$file'")
    done
    [[ ${#yaml[@]} -eq 0 ]] || commands+=("yamllint --strict ${yaml[*]}" "ansible-lint --offline ${yaml[*]}")
    [[ ${#python[@]} -eq 0 ]] || commands+=("ruff check ${python[*]}" "ruff format --check ${python[*]}")
    [[ ${#shell[@]} -eq 0 ]] || commands+=("shellcheck --external-sources ${shell[*]}")
    all_of "${commands[@]}"
}

types() {
    local tests commands=()
    # By the name under which Ansible and the tests import them.
    commands+=("mypy .ansible/collections/ansible_collections/groundwork/flask/plugins tests/unit tests/browser molecule/shared molecule/conftest.py")
    while IFS= read -r -d '' file; do
        case $file in plugins/* | tests/* | molecule/* | examples/*) ;; *) commands+=("mypy '$file'") ;; esac
    done < <({ files '*.py'; with_first_line '^#!.*python'; } | sort -zu)
    # Each scenario's conftest has the same name.
    for tests in molecule/*/tests; do
        [[ ! -d $tests ]] || commands+=("MYPYPATH='$tests' mypy '$tests'")
    done
    all_of "${commands[@]}"
}

# unit [NAME…]: all unit tests, or those whose files begin so; `examples` stands for the examples' own.
unit() {
    local name example files=() commands=()
    for name in "$@"; do [[ $name == examples ]] || files+=(tests/unit/"$name"*.py); done
    [[ $# -gt 0 ]] || files=(tests/unit)
    shopt -s nullglob
    # shellcheck disable=SC2206
    files=(${files[@]}) # what matches nothing is gone
    shopt -u nullglob
    [[ ${#files[@]} -eq 0 ]] || commands+=("pytest -q ${files[*]}")
    if [[ $# -eq 0 || " $* " == *" examples "* ]]; then
        for example in examples/*/; do commands+=("test_example '${example%/}'"); done
    fi
    all_of "${commands[@]}"
}

# An example brings its own requirements, as a user's app does; they are tested in an environment of their own.
test_example() {
    local example=$1 venv=$CACHE/$1 wanted=()
    if [[ -e $example/requirements-dev.txt ]]; then
        wanted=(--requirement "$example/requirements-dev.txt")
    elif [[ -e $example/requirements.txt ]]; then
        wanted=(--requirement "$example/requirements.txt" pytest)
    else
        wanted=(--requirement "$example/pyproject.toml" pytest)
    fi
    [[ -x $venv/bin/python ]] || "$(find_python)" -m venv --without-pip "$venv" || return
    uv pip install --quiet --python "$venv/bin/python" "${wanted[@]}" || return
    (cd "$example" && PYTHONPATH='' "$venv/bin/python" -m pytest -q -p no:cacheprovider)
}

# Build the archive of the collection from this checkout's files, in an empty directory.
build_collection() {
    local output=$1
    rm -rf "$output" && mkdir -p "$output/source" || return
    files | xargs -0 cp --parents --no-dereference --target-directory="$output/source" || return
    (cd "$output/source" && ansible-galaxy collection build --output-path "$output" .)
}

sanity() {
    local home=$CACHE/ansible-test name copy=$CACHE/ac/ansible_collections/groundwork/flask
    # ansible-test downloads get-pip.py from a host of its own; Python brings a pip that does as well. Its files go below HOME.
    mkdir -p "$home/.ansible/test/cache" "$home/.config/pip"
    for name in get_pip_24_2.py get_pip_25_2.py; do
        cat >"$home/.ansible/test/cache/$name" <<'END'
"""Stands in for get-pip.py, offline."""
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", *wanted])
END
    done
    # It also starts pip without the variables of this environment: say in a file what they and the machine's files say.
    {
        echo '[global]'
        pip config list | sed -nE "s/^(global|:env:)\.\.?((extra-)?index-url|cert|trusted-host|find-links|timeout)='(.*)'$/\2 = \4/p" | sort -u -t= -k1,1
    } >"$home/.config/pip/pip.conf"
    # What is published, as Galaxy tests it, where ansible-test insists on finding a collection.
    build_collection "$CACHE/ac" || return
    mkdir -p "$copy" && tar --extract --gzip --file "$(echo "$CACHE"/ac/groundwork-flask-*.tar.gz)" --directory "$copy" || return
    git init --quiet "$copy" || return # else it asks the repository around it, which ignores .cache, and finds nothing to test
    (cd "$copy" && HOME=$home ansible-test sanity --local --color no --python "$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')")
}

build() {
    local output=$CACHE/build tarball kind name
    build_collection "$output" || return
    tarball=$(echo "$output"/groundwork-flask-*.tar.gz)
    ansible-galaxy collection install --offline --force --collections-path "$output/installed" "$tarball" || return
    export ANSIBLE_COLLECTIONS_PATH=$output/installed
    cd "$output" || return # away from the checkout: what was installed must do
    for name in installed/ansible_collections/groundwork/flask/plugins/modules/*.py; do
        ansible-doc --type module "groundwork.flask.$(basename "$name" .py)" >/dev/null || return
    done
    for kind in filter test lookup; do
        for name in installed/ansible_collections/groundwork/flask/plugins/"$kind"/*.yml; do
            [[ ! -e $name ]] || ansible-doc --type "$kind" "groundwork.flask.$(basename "$name" .yml)" >/dev/null || return
        done
    done
    ansible-doc --type role --list groundwork.flask || return
    for name in installed/ansible_collections/groundwork/flask/playbooks/*.yml; do
        ansible-playbook --syntax-check --inventory localhost, "groundwork.flask.$(basename "$name" .yml)" || return
    done
}

# Imports the built collection as Galaxy would.
galaxy() {
    local venv=$CACHE/galaxy-importer output=$CACHE/galaxy tarball
    build_collection "$output" || return
    tarball=$(echo "$output"/groundwork-flask-*.tar.gz)
    [[ -x $venv/bin/python ]] || "$(find_python)" -m venv --without-pip "$venv" || return
    (cd "$ROOT" && uv pip install --quiet --python "$venv/bin/python" --group importer) || return
    printf '[galaxy-importer]\nCHECK_REQUIRED_TAGS = True\nRUN_ANSIBLE_DOC = True\n' >"$output/importer.cfg"
    (cd "$output" && PATH=$venv/bin:$PATH GALAXY_IMPORTER_CONFIG=$output/importer.cfg python -m galaxy_importer.main "$tarball")
}

# The status page as a browser shows it.
browser() {
    local found
    found=$(command -v chromium chromium-browser google-chrome | head -n 1)
    if [[ -z $found ]]; then
        [[ $EUID -eq 0 ]] || { echo "a browser is needed: install the package chromium"; return 1; }
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q -y --no-install-recommends install chromium || { apt-get -q update && apt-get -q -y --no-install-recommends install chromium; } || return
    fi
    pytest -q tests/browser
}

benchmark() { benchmarks/deploy --load; }

# --- scenarios -------------------------------------------------------------------------------------------------------

# A scenario's output is long; lines of 140 columns are easier to read than Molecule's 80.
export COLUMNS=140 NO_COLOR=1

# The scenario default holds the lock under which an image of its hosts is made.
molecule_test() {
    if [[ $1 == default ]]; then
        mkdir -p "$CACHE/lock" && flock --close "$CACHE/lock/scenario-default" molecule test --scenario-name "$@"
    else
        molecule test --scenario-name "$@"
    fi
}

scenario() {
    local name=$1 manner=$2 status=0
    shift 2
    case $manner in
        whole) molecule_test "$name" ;;
        beside)
            molecule destroy --scenario-name "$name" &&
                PYTEST_ADDOPTS="-m 'not alone'" molecule_test "$name" --destroy never
            ;;
        alone)
            PYTEST_ADDOPTS="-m alone" molecule verify --scenario-name "$name" || status=1
            molecule destroy --scenario-name "$name" || status=1
            return $status
            ;;
        kept) kept "$name" "$@" ;;
    esac
}

# kept SCENARIO [TEST…]: hosts start from images of what they were when they had been prepared and had converged once.
kept() {
    local name=$1 key hosts
    shift
    # A test's name may stand for a file or a function: pytest's -k takes both.
    [[ $# -eq 0 ]] || PYTEST_ADDOPTS="-k '$(printf '%s or ' "$@" | sed 's/ or $//')'"
    export PYTEST_ADDOPTS="${PYTEST_ADDOPTS-}"
    key=$(python "$ROOT/script/suite" key "$name") || return
    mapfile -t hosts < <(python "$ROOT/script/suite" hosts "$name")
    if script/test-host kept "$key" "${hosts[@]}"; then
        export TEST_KEPT=$key
        script/test-host create "${hosts[@]}"
    else
        molecule destroy --scenario-name "$name" && molecule create --scenario-name "$name" &&
            molecule prepare --scenario-name "$name" && molecule converge --scenario-name "$name" &&
            script/test-host keep "$key" "${hosts[@]}"
    fi && molecule converge --scenario-name "$name" && molecule verify --scenario-name "$name"
}

part=$1 manner=$2
shift 2
if [[ -e molecule/$part/molecule.yml ]]; then
    scenario "$part" "$manner" "$@"
else
    "$part" "$@"
fi
