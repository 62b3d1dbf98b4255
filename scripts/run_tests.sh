#!/usr/bin/env bash
# Sets up and runs the test suite on every runtime this machine has an interpreter for.
#
#   scripts/run_tests.sh [pytest arguments]
#
# PROCESSES=N runs that many test processes at a time (default: the cores, at most 4).
set -uo pipefail
cd "$(dirname "$0")/.."

cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
processes=${PROCESSES:-$(( cores < 4 ? cores : 4 ))}
# The test of the job platform wants the Python of its image; the environment is made once.
export DEEPLAB_MAKE_PYTHON36=1
status=0
ran=()
skipped=()

run_on() {
  local runtime=$1 venv=$2
  shift 2
  PYTHON='' scripts/setup.sh --runtime="$runtime" --venv="$venv" --extras=export,demo
  case $? in
    0) ;;
    3) [ "$runtime" = 1 ] && second_venv=.venv
       skipped+=("TensorFlow $runtime.x: no interpreter for it"); return ;;
    *) status=1; skipped+=("TensorFlow $runtime.x: set-up failed"); return ;;
  esac
  local name
  name=$("$venv/bin/python" -c 'from deeplab import compat; print(compat.describe_runtime())')
  echo "== tests on $name ($venv)"
  "$venv/bin/python" -m pytest -n "$processes" "$@"
  local result=$?
  [ $result -eq 0 ] || status=1
  ran+=("$name: $([ $result -eq 0 ] && echo passed || echo FAILED)")
}

# The environment of the program itself serves the runtime it holds.
first_venv=.venv
second_venv=.venv-tf2
case "$(cut -d' ' -f1 .venv/.requirements 2>/dev/null)" in
  ''|3.6|3.7) ;;
  *) first_venv=.venv-tf1; second_venv=.venv ;;
esac
run_on 1 "$first_venv" "$@"
run_on 2 "$second_venv" "$@"

echo
echo "== runtimes"
for line in "${ran[@]}"; do echo "$line"; done
for line in "${skipped[@]}"; do echo "not run: $line"; done
[ ${#ran[@]} -gt 0 ] || { echo "error: no runtime could be tested" >&2; status=1; }
exit $status
