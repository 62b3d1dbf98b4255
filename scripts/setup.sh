#!/usr/bin/env bash
# Makes a virtual environment with everything the program needs, and says which TensorFlow it got.
#
#   scripts/setup.sh                       TensorFlow 1.15 where a Python 3.7 or 3.6 runs, else 2.x
#   scripts/setup.sh --runtime=2           TensorFlow 2.x
#   PYTHON=/path/to/python scripts/setup.sh
#
# Running it again costs seconds: it looks whether the requirements have changed, and stops there.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'USAGE'
usage: scripts/setup.sh [--venv=DIR] [--runtime=auto|1|2] [--extras=NAME,...]

  --venv=DIR      where to make the environment (default .venv)
  --runtime=...   1: TensorFlow 1.15 (needs Python 3.7 or 3.6); 2: TensorFlow 2.x;
                  auto (default): 1.15 where such a Python runs on this machine, else 2.x
  --extras=...    sections of requirements.txt to add: export (ONNX), demo (the web page)
  PYTHON=...      the interpreter to use, instead of looking for one

exit status: 0 done; 1 failed; 3 no interpreter for the runtime asked for
USAGE
}

venv=.venv
runtime=auto
extras=
for argument in "$@"; do
  case "$argument" in
    --venv=*) venv=${argument#*=} ;;
    --runtime=auto|--runtime=1|--runtime=2) runtime=${argument#*=} ;;
    --extras=*) extras=${argument#*=} ;;
    -h|--help) usage; exit 0 ;;
    *) echo "error: unknown argument $argument" >&2; usage >&2; exit 2 ;;
  esac
done

# Prints the X.Y of an interpreter that really runs and can make environments; a pyenv shim can be
# there and not run.
version_of() {
  "$1" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# Prints candidates for a Python X.Y: on PATH, under pyenv, known to uv.
candidates() {
  local wanted=$1 found
  command -v "python$wanted" 2>/dev/null || true
  for found in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$wanted".*/bin/python; do
    [ -x "$found" ] && echo "$found"
  done
  if command -v uv >/dev/null 2>&1; then
    uv python find --no-python-downloads "$wanted" 2>/dev/null || true
  fi
}

# Sets python to the first working interpreter among the versions given.
find_python() {
  local wanted candidate
  for wanted in "$@"; do
    while read -r candidate; do
      if [ "$(version_of "$candidate")" = "$wanted" ]; then
        python=$candidate
        return 0
      fi
    done < <(candidates "$wanted")
  done
  return 1
}

python=${PYTHON:-}
reason="PYTHON=$python says so"
if [ -n "$python" ]; then
  [ -n "$(version_of "$python")" ] || {
    echo "error: PYTHON=$python does not run, or lacks the venv module (Debian: apt-get install python3-venv)" >&2
    exit 1
  }
elif [ "$runtime" != 2 ] && [ "$(uname -m)" = x86_64 ] && find_python 3.7 3.6; then
  reason="it runs TensorFlow 1.15, the runtime of record"
elif [ "$runtime" = 1 ]; then
  echo "error: no working Python 3.7 or 3.6 on this machine (looked on PATH, in pyenv and uv); TensorFlow 1.15 needs one on x86_64" >&2
  exit 3
else
  python=$(command -v python3 || true)
  reason="no Python 3.7 or 3.6 runs here, so TensorFlow 2.x on python3"
  [ "$runtime" = 2 ] && reason="TensorFlow 2.x was asked for"
  case "$( [ -n "$python" ] && version_of "$python" )" in
    3.8|3.9|3.1[0-3]) ;;
    *) find_python 3.11 3.12 3.13 3.10 3.9 3.8 || {
         echo "error: no working Python 3.8 to 3.13 with the venv module on this machine (Debian: apt-get install python3-venv)" >&2
         exit 3
       } ;;
  esac
fi

version=$(version_of "$python")
case "$version" in
  3.6|3.7) tensorflow="TensorFlow 1.15" ;;
  *) tensorflow="TensorFlow 2.x" ;;
esac
echo "setup: $tensorflow on Python $version ($python): $reason"

stamp="$venv/.requirements"
# What was installed before stays: the extras add up. The stamp is version, checksum, extras.
read -r _ _ _ installed 2>/dev/null < "$stamp" || installed=
extras=$(tr ', ' '\n\n' <<< "$extras,${installed:-}" | sort -u | sed '/^$/d' | paste -sd,)
wanted="$version $(cat requirements.txt setup.py | cksum) $extras"
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  echo "setup: $venv is up to date"
  exit 0
fi

if [ ! -x "$venv/bin/python" ] || [ "$(version_of "$venv/bin/python")" != "$version" ]; then
  echo "setup: making $venv"
  "$python" -m venv --clear "$venv"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
if [ "$version" = 3.6 ]; then
  # The pip that comes with 3.6 does not see TensorFlow's wheels; 21.3.1 is the last for 3.6.
  pip install --quiet pip==21.3.1
fi
echo "setup: installing (some minutes the first time)"
build=tf
if [ "$tensorflow" = "TensorFlow 2.x" ] && command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
  echo "setup: an NVIDIA GPU is there, adding CUDA's libraries"
  build=gpu
fi
pip install --quiet -e ".[$build,test${extras:+,$extras}]"
"$venv/bin/python" - <<'CHECK'
from deeplab import compat
print('setup: ready, ' + compat.describe_runtime())
CHECK
echo "$wanted" > "$stamp"
