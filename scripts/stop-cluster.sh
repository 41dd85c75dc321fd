#!/bin/sh
# Stops what scripts/start-cluster.sh started, in the same directory; nothing running is fine, too.
set -eu
exec "$(dirname "$0")/rookery" cluster down "$@"
