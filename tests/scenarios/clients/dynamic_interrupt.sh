#!/usr/bin/env bash
# Pause at `interrupt()` and resume, as the LangGraph documentation shows it.
set -euo pipefail
DEPLOYMENT_URL=$1

# Create a thread:
THREAD_ID=$(curl --request POST \
--url $DEPLOYMENT_URL/threads \
--header 'Content-Type: application/json' \
--data '{}' | jq -r .thread_id)

# Run the graph until the interrupt is hit:
RESULT=$(curl --request POST \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/wait \
--header 'Content-Type: application/json' \
--data "{
  \"assistant_id\": \"agent\",
  \"input\": {\"some_text\": \"original text\"}
}")

# Resume the graph:
FINAL=$(curl --request POST \
 --url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/wait \
 --header 'Content-Type: application/json' \
 --data "{
   \"assistant_id\": \"agent\",
   \"command\": {
     \"resume\": \"Edited text\"
   }
 }")

echo "{\"thread_id\": \"$THREAD_ID\", \"result\": $RESULT, \"final\": $FINAL}" | jq -c .
