#!/bin/sh
# Start Triton in explicit mode with every task that has a release; later releases load themselves
# (`panderm release TASK --set server=HOST:8001`).
set -eu
models=$1
set --
for release in "$models"/*/*/release.json; do
  [ -f "$release" ] || continue
  task=$(basename "$(dirname "$(dirname "$release")")")
  [ -f "$models/$task/config.pbtxt" ] || continue
  case " $* " in *" --load-model=$task "*) ;; *) set -- "$@" "--load-model=$task" ;; esac
done
exec tritonserver --model-repository="$models" --model-control-mode=explicit "$@" \
  --disable-auto-complete-config --exit-on-error=false --strict-readiness=false
