#!/usr/bin/env bash
# What Tollgate adds to a call, beside nginx's proxy_pass, in one session on one machine: the
# gateway or nginx alone on core 0, the provider and the load on core 1, nginx before and after each
# run of ours. Prints a Markdown table; every number is a median over the rounds.
#
#   benches/overhead/run.sh [--cache] [--rounds 3] [--secs 4] [--gateway PATH-TO-BINARY]
#
# With --cache: answers from the cache beside nginx, which gives the same bytes from its memory, and what
# a call costs more that might have been answered from it and was not.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
rounds=3 secs=4 gateway= cache=
while [ $# -gt 0 ]; do
  case $1 in
    --cache) cache=yes; shift ;;
    --rounds) rounds=$2; shift 2 ;;
    --secs) secs=$2; shift 2 ;;
    --gateway) gateway=$2; shift 2 ;;
    *) sed -n 2,10p "$0"; exit 2 ;;
  esac
done

if ! command -v nginx >/dev/null; then
  apt-get update -qq && apt-get install -y -qq nginx-light >/dev/null
fi
target=${CARGO_TARGET_DIR:-$root/target}
if [ -z "$gateway" ]; then
  (cd "$root" && cargo build --release --quiet --bin tollgate)
  gateway=$target/release/tollgate
fi
tool_target=$target/overhead
(cd "$here" && CARGO_TARGET_DIR=$tool_target cargo build --release --quiet)
tool=$tool_target/release/overhead

work=$(mktemp -d)
started=()
stop() { # PID: only what this script started
  kill -TERM "$1" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$1" 2>/dev/null || true
}
cleanup() {
  for pid in "${started[@]:-}"; do [ -z "$pid" ] || stop "$pid"; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

sed "s#@WORK@#$work#" "$here/nginx.conf" >"$work/nginx.conf"
sed "s#@WORK@#$work#" "$here/gateway.toml" >"$work/gateway.toml"
[ -z "$cache" ] || printf '\n[cache]\n' >>"$work/gateway.toml"
for body in whole stream long fixed fresh other; do
  "$tool" body "$body" >"$work/$body.json"
done
# The bytes that nginx gives are those that the gateway keeps: the provider's.
printf "default_type application/json; return 200 '%s';\n" "$("$tool" reply)" >"$work/kept.conf"
# Each open stream takes two descriptors of what stands between.
ulimit -n "$(ulimit -Hn)"
rows=$work/rows
: >"$rows"
export TOLLGATE_ADMIN_KEY=overhead-admin-key-0123456789abcdef UP_KEY=sk-overhead
key=$("$gateway" key create --account acme/search --config "$work/gateway.toml" --json |
  sed -n 's/.*"key": *"\([^"]*\)".*/\1/p')
[ -n "$key" ] || { echo "no key was created" >&2; exit 1; }

taskset -c 1 "$tool" upstream 127.0.0.1:9471 >/dev/null &
started+=($!)
taskset -c 0 nginx -c "$work/nginx.conf" 2>/dev/null &
nginx_pid=$!
started+=("$nginx_pid")
sleep 0.5

chat=v1/chat/completions
url() { case $1 in direct) echo 9471 ;; nginx*) echo 9472 ;; tollgate) echo 9473 ;; esac; }
pid() { case $1 in direct) ;; nginx) echo "$nginx_pid" ;; tollgate) echo "$gateway_pid" ;; esac; }
drive() { # SUBJECT TEST BODY ARGS...: one row; the figures are left in $last
  local subject=$1 test=$2 body=$3; shift 3
  local watch path=$chat; watch=$(pid "$subject")
  [ "$subject $body" != "nginx fixed" ] || path=kept
  last=$(taskset -c 1 "$tool" drive --url "http://127.0.0.1:$(url "$subject")/$path" \
    --body "$work/$body.json" --key "$key" ${watch:+--pid "$watch"} --secs "$secs" "$@")
  echo "$round $subject $test $last" | tee -a "$rows" >&2
  sleep 0.5
}
per_s() { sed -n 's/.*per_s=\([0-9]*\).*/\1/p' <<<"$last"; }

for round in $(seq "$rounds"); do
  [ -z "$cache" ] || break
  cold=$(taskset -c 0 "$tool" cold --url "http://127.0.0.1:9473/$chat" --body "$work/whole.json" \
    --key "$key" --log "$work/gateway.log" -- "$gateway" serve --config "$work/gateway.toml") ||
    { cat "$work/gateway.log" >&2; exit 1; }
  echo "$round tollgate cold $cold" | tee -a "$rows" >&2
done

taskset -c 0 "$gateway" serve --config "$work/gateway.toml" >"$work/gateway.log" 2>&1 &
gateway_pid=$!
started+=("$gateway_pid")
for _ in $(seq 100); do
  grep -q '^data plane' "$work/gateway.log" && break
  sleep 0.1
done

if [ -n "$cache" ]; then
  for round in $(seq "$rounds"); do
    drive nginx hit-max fixed
    drive tollgate hit-max fixed
    half=$(($(per_s) / 2))
    drive nginx hit-max fixed
    for subject in nginx tollgate nginx; do
      drive "$subject" hit-half fixed --rate "$half"
    done
    # Each call another: one that might have been answered from the cache, and one that might not.
    for pair in other fresh other; do
      drive tollgate "$pair-2000" "$pair" --rate 2000
    done
  done
  "$tool" table "$rows"
  exit
fi

for round in $(seq "$rounds"); do
  drive nginx whole-max whole
  drive tollgate whole-max whole
  half=$(($(per_s) / 2))
  drive nginx whole-max whole
  for subject in direct nginx tollgate nginx; do
    drive "$subject" whole-half whole --rate "$half"
  done
  for subject in direct nginx tollgate nginx; do
    drive "$subject" whole-2000 whole --rate 2000
  done
  for subject in nginx tollgate nginx; do
    drive "$subject" stream-256 stream --conns 256 --warmup 2
  done
done
for subject in nginx tollgate; do
  drive "$subject" open-9000 long --conns 9000 --warmup 8 --secs 2
done
"$tool" table "$rows"
