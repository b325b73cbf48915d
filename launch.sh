#!/usr/bin/env bash
# ./launch.sh              set up, then train and evaluate the demo; the last line of stdout is `mAP <number>`
# ./launch.sh CONFIG …     set up, then train CONFIG with the launcher it needs
# ./launch.sh test         set up, with what the tests use, then run them, two files at a time
# ./launch.sh setup        set up only, with what the tests use
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found; install one (Debian: apt install python3 python3-venv) or set PYTHON=/path/to/python"
}

# This environment's `deepspeed` is DeepSpeed's own launcher, which then takes `-m` beside `--module`.
deepspeed_command() {
    printf '#!%s\nimport sys\n\nfrom mlcfast.engine.deepspeed_cli import main\n\nsys.exit(main())\n' "$PWD/.venv/bin/python" \
        >.venv/bin/deepspeed
    chmod +x .venv/bin/deepspeed
}

# What the environment was made from; when it changes, the next call installs again.
fingerprint() {
    { cat setup.py pyproject.toml launch.sh; find csrc -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 -r cat; } | cksum
}

logged() { "$@" >>.venv/install.log 2>&1; }

# Where there is an NVIDIA driver, the CUDA kernels are compiled for its cards, by an nvcc of torch's CUDA version: one that is
# there, or PyPI's.
cuda_compiler() {
    local packages
    if ! command -v nvidia-smi >/dev/null || [ "${MLCFAST_CUDA:-1}" = 0 ]; then return; fi
    packages=$(.venv/bin/python csrc/cards.py packages)
    if [ -n "$packages" ]; then
        say "no nvcc of torch's CUDA version: fetching PyPI's (100 MB) for the CUDA kernels"
        # shellcheck disable=SC2086 # one word a package
        logged .venv/bin/python -m pip install $packages || say "pip found no $packages"
    fi
    if [ -z "${MLCFAST_CUDA_ARCHS:-}" ]; then
        MLCFAST_CUDA_ARCHS=$(.venv/bin/python csrc/cards.py architectures)
        export MLCFAST_CUDA_ARCHS
    fi
}

cuda_outcome() {
    if command -v nvidia-smi >/dev/null; then say "$(.venv/bin/python csrc/cards.py outcome)"; fi
}

install() { # extras of setup.py
    local log=.venv/install.log pip=(.venv/bin/python -m pip install)
    export PIP_NO_COMPILE=1 # Python compiles what is imported; all of the packages take pip a minute
    say "installing into .venv (a few GB, some minutes; details in $log)"
    : >"$log"
    logged "${pip[@]}" --upgrade pip "setuptools>=77" wheel packaging ninja numpy "torch>=2.11" || not_installed
    cuda_compiler
    logged env MLCFAST_NATIVE="${MLCFAST_NATIVE:-auto}" "${pip[@]}" --no-build-isolation -e ".[$1]" || not_installed
    cuda_outcome
}

not_installed() {
    tail -n 15 .venv/install.log >&2
    fail "the installation failed; the whole log is .venv/install.log"
}

setup() { # extras of setup.py; .venv/ready says what the environment was made from and which it has
    local now
    now=$(fingerprint)
    case "$(cat .venv/ready 2>/dev/null)" in
        "$now $1" | "$now all,test") if .venv/bin/python -c '' 2>/dev/null; then return; fi ;;
    esac
    if ! .venv/bin/python -c '' 2>/dev/null; then
        local python
        python=$(find_python)
        rm -rf .venv
        "$python" -m venv .venv || fail "cannot make .venv with $python (Debian: apt install python3-venv)"
    fi
    install "$1"
    deepspeed_command
    printf '%s %s\n' "$now" "$1" >.venv/ready
}

# Query2Label and, for about as long and at its best learning rate, the same backbone with a linear head on its pooled
# features. On a CPU they train beside each other, with half of the cores each: so small a network gains little by more.
train_both() {
    local linear=(configs/demo.yaml name=demo_linear model.head=linear optim.lr=1.6e-2 train.epochs=11)
    local cores log=runs/demo_linear.log
    cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
    if command -v nvidia-smi >/dev/null || [ "$cores" -lt 2 ]; then
        .venv/bin/python -m mlcfast.launch configs/demo.yaml >&2
        say "the same backbone with a linear head on its pooled features:"
        .venv/bin/python -m mlcfast.launch "${linear[@]}" >&2
        return
    fi
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores / 2))}"
    say "two trainings at once: Query2Label here, and the same backbone with a linear head, which writes to $log"
    mkdir -p runs
    .venv/bin/python -m mlcfast.launch "${linear[@]}" >"$log" 2>&1 &
    trap 'kill '$!' 2>/dev/null || true' EXIT # however this script ends
    .venv/bin/python -m mlcfast.launch configs/demo.yaml >&2
    say "waiting for the linear head"
    wait $! || { tail -n 5 "$log" >&2; fail "the linear head's training failed"; }
    trap - EXIT
}

demo() {
    (train_both)
    say "held-out test images, linear head:"
    .venv/bin/python -m mlcfast.evaluate configs/demo.yaml model.head=linear --checkpoint runs/demo_linear/best >&2
    say "held-out test images, Query2Label (A) and the linear head (B):"
    .venv/bin/python -m mlcfast.evaluate configs/demo.yaml --checkpoint runs/demo/best --against runs/demo_linear/best \
        --picture runs/demo/compared.png
}

case "${1:-demo}" in
    setup | test) setup all,test ;;
    *) setup all ;;
esac
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}" # as the commands set it themselves: threads without work sleep
export PATH="$PWD/.venv/bin:$PATH" # DeepSpeed's launcher and its workers look for python here
case "${1:-demo}" in
    setup) say "ready: source .venv/bin/activate" ;;
    test)
        shift
        unset PYTHONDONTWRITEBYTECODE # or each of some hundred processes would compile the package anew
        exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
        ;;
    demo) demo ;;
    *) exec .venv/bin/python -m mlcfast.launch "$@" ;;
esac
