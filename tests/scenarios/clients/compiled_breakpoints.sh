#!/usr/bin/env bash
# Stop at breakpoints that were set at compile time, and go on with the input left out.
set -euo pipefail
DEPLOYMENT_URL=$1
INPUT='{"visited": []}'

# Create a thread:
THREAD_ID=$(curl --request POST \
--url $DEPLOYMENT_URL/threads \
--header 'Content-Type: application/json' \
--data '{}' | jq -r .thread_id)

# Run the graph until the breakpoint:
RESULT=$(curl --request POST \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/wait \
--header 'Content-Type: application/json' \
--data "{
  \"assistant_id\": \"agent\",
  \"input\": $INPUT
}")

# Resume the graph:
RESUMED=$(curl --request POST \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/wait \
--header 'Content-Type: application/json' \
--data "{
  \"assistant_id\": \"agent\"
}")

echo "{\"thread_id\": \"$THREAD_ID\", \"result\": $RESULT, \"resumed\": $RESUMED}" | jq -c .
