#!/usr/bin/env bash
# Trains with parameter servers and workers that are processes of this machine.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
  cat <<'USAGE'
usage: scripts/train_local_cluster.sh [--workers=N] [--ps=N] [--logs=DIR] FLAGS OF train.py

  scripts/train_local_cluster.sh --dataset=sample_scenes --dataset_dir=data/scenes \
      --train_logdir=runs/cluster --train_crop_size=129,129 --training_number_of_steps=200

  --workers=N   workers, the first of them the chief (default 2)
  --ps=N        parameter servers (default 1)
  --logs=DIR    one log a process (default: the folder logs in --train_logdir)
  PYTHON=...    interpreter (default .venv/bin/python here, else python3)

Each process gets a TF_CONFIG as a cluster manager would set it. With several GPUs each worker takes
one, in turn. A process that is killed is started again, three times at most. Ctrl-C and SIGTERM
have the chief save, and end everything.

exit status: 0 done, or ended by SIGTERM; 130 ended by Ctrl-C; otherwise that of the process that
failed.
USAGE
}

workers=2
servers=1
logs=
logdir=
flags=()
previous=
for argument in "$@"; do
  case "$argument" in
    -h|--help) usage; exit 0 ;;
    --workers=*) workers=${argument#*=} ;;
    --ps=*) servers=${argument#*=} ;;
    --logs=*) logs=${argument#*=} ;;
    *) flags+=("$argument")
       case "$argument" in --train_logdir=*|-train_logdir=*) logdir=${argument#*=} ;; esac
       [ "$previous" = --train_logdir ] && logdir=$argument ;;
  esac
  previous=$argument
done
for count in "$workers" "$servers"; do
  case "$count" in
    ''|*[!0-9]*|0) echo "error: --workers and --ps take a number above 0, got '$count'" >&2
                   exit 2 ;;
  esac
done
if [ -z "$logdir" ]; then
  echo "error: give --train_logdir; --help shows an example" >&2
  exit 2
fi
logs=${logs:-$logdir/logs}
mkdir -p "$logs" || exit 1

python=${PYTHON:-}
if [ -z "$python" ]; then
  python=$root/.venv/bin/python
  [ -x "$python" ] || python=python3
fi

# Ports that are free now, and the addresses of all processes as TF_CONFIG has them.
cluster=$("$python" - "$workers" "$servers" <<'PYTHON'
import json, socket, sys
workers, servers = map(int, sys.argv[1:])
sockets = [socket.socket() for _ in range(workers + servers)]
for one in sockets:
    one.bind(('', 0))
addresses = ['localhost:%d' % one.getsockname()[1] for one in sockets]
jobs = {'chief': addresses[:1], 'worker': addresses[1:workers], 'ps': addresses[workers:]}
print(json.dumps({job: found for job, found in jobs.items() if found}))
PYTHON
) || exit 1

gpus=0
if [ -z "${CUDA_VISIBLE_DEVICES+set}" ] && command -v nvidia-smi >/dev/null 2>&1; then
  gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
fi
# Processes that share a GPU take memory as they need it.
export TF_FORCE_GPU_ALLOW_GROWTH=${TF_FORCE_GPU_ALLOW_GROWTH:-true}

# Prints lines with the name of their process before them, and appends them to its log.
label() {
  trap '' INT TERM
  while IFS= read -r line; do
    printf '%s\n' "$line" >> "$2"
    printf '%-8s | %s\n' "$1" "$line"
  done
}

# Every job in a process group of its own, so that Ctrl-C reaches this script alone.
set -m
names=()
types=()
indices=()
pids=()
restarts=()
statuses=()

# Starts process number $1.
start() {
  local name=${names[$1]} visible=()
  if [ "${types[$1]}" = ps ]; then
    visible=(CUDA_VISIBLE_DEVICES=)
  elif [ "$gpus" -gt 0 ]; then
    visible=(CUDA_VISIBLE_DEVICES=$(( ($1 - servers) % gpus )))
  fi
  env ${visible[@]+"${visible[@]}"} \
    TF_CONFIG="{\"cluster\": $cluster, \"task\": {\"type\": \"${types[$1]}\", \"index\": ${indices[$1]}}}" \
    "$python" "$root/deeplab/train.py" ${flags[@]+"${flags[@]}"} \
    > >(label "$name" "$logs/$name.log") 2>&1 < /dev/null &
  pids[$1]=$!
  statuses[$1]=
  printf '%-8s | started, pid %s, log %s\n' "$name" "${pids[$1]}" "$logs/$name.log"
}

add() {
  local number=${#names[@]}
  names[$number]=$1
  types[$number]=$2
  indices[$number]=$3
  restarts[$number]=0
  : > "$logs/$1.log"
  start "$number"
}

# Notes the exit statuses of processes that have ended.
look() {
  local number
  for number in "${!pids[@]}"; do
    if [ -z "${statuses[$number]}" ] && ! kill -0 "${pids[$number]}" 2>/dev/null; then
      wait "${pids[$number]}"
      statuses[$number]=$?
    fi
  done
}

# Whether a process of the type $1 ('' for worker and chief) still runs.
runs() {
  local number
  for number in "${!pids[@]}"; do
    if [ -z "${statuses[$number]}" ]; then
      if [ "$1" = ps ] && [ "${types[$number]}" = ps ]; then return 0; fi
      if [ "$1" != ps ] && [ "${types[$number]}" != ps ]; then return 0; fi
    fi
  done
  return 1
}

send() {
  local number
  for number in "${!pids[@]}"; do
    [ -n "${statuses[$number]}" ] || kill "-$1" "${pids[$number]}" 2>/dev/null
  done
}

# The parameter servers end by themselves once the workers have gone.
stop_all() {
  send TERM
  while look; runs worker || runs ps; do sleep 0.5; done
}

asked=
on_signal() {
  if [ -n "$asked" ]; then
    send KILL
    exit "$1"
  fi
  asked=$1
}
trap 'on_signal 130' INT
trap 'on_signal 0' TERM

for (( i = 0; i < servers; i++ )); do add "ps$i" ps "$i"; done
add chief chief 0
for (( i = 1; i < workers; i++ )); do add "worker$i" worker "$(( i - 1 ))"; done

while [ -z "$asked" ]; do
  look
  for number in "${!pids[@]}"; do
    status=${statuses[$number]}
    if [ -z "$status" ] || [ "$status" = 0 ]; then continue; fi
    if [ "$status" -gt 128 ] && [ "${restarts[$number]}" -lt 3 ]; then
      printf '%-8s | killed by signal %s; starting it again\n' "${names[$number]}" \
        "$(( status - 128 ))"
      restarts[$number]=$(( ${restarts[$number]} + 1 ))
      start "$number"
    else
      printf '%-8s | failed with exit status %s; stopping the others\n' "${names[$number]}" "$status"
      stop_all
      exit "$status"
    fi
  done
  runs worker || runs ps || exit 0
  sleep 0.5
done
stop_all
exit "$asked"
