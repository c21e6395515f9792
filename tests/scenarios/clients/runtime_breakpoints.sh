#!/usr/bin/env bash
# Stop at breakpoints that are given with the run.
set -euo pipefail
DEPLOYMENT_URL=$1
INPUT='{"visited": []}'
THREAD_ID=$(curl --request POST \
--url $DEPLOYMENT_URL/threads \
--header 'Content-Type: application/json' \
--data '{}' | jq -r .thread_id)

RESULT=$(curl --request POST \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/wait \
--header 'Content-Type: application/json' \
--data "{
    \"assistant_id\": \"agent\",
    \"interrupt_before\": [\"node_a\"],
    \"interrupt_after\": [\"node_b\", \"node_c\"],
    \"input\": $INPUT
}")

# The breakpoints hold for that run only: they are given again to stop again.
RESUMED=$(curl --request POST \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/wait \
--header 'Content-Type: application/json' \
--data "{
    \"assistant_id\": \"agent\",
    \"interrupt_before\": [\"node_a\"],
    \"interrupt_after\": [\"node_b\", \"node_c\"]
}")

echo "{\"thread_id\": \"$THREAD_ID\", \"result\": $RESULT, \"resumed\": $RESUMED}" | jq -c .
