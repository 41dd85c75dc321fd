#!/bin/sh
# Starts three nodes on this machine and leaves them running: MQTT on 1883, 1884 and 1885.
# Takes the options of 'rookery cluster up', --directory for one; scripts/stop-cluster.sh stops them.
set -eu
exec "$(dirname "$0")/rookery" cluster up 3 --detach "$@"
