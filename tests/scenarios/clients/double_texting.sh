#!/usr/bin/env bash
# Send a second text while the first is being answered, with the `interrupt` strategy.
set -euo pipefail
DEPLOYMENT_URL=$1
cd "$(dirname "$0")"

THREAD_ID=$(curl --request POST \
  --url $DEPLOYMENT_URL/threads \
  --header 'Content-Type: application/json' \
  --data '{}' | jq -r .thread_id)

FIRST=$(curl --request POST \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs \
--header 'Content-Type: application/json' \
--data "{
  \"assistant_id\": \"agent\",
  \"input\": {\"messages\": [{\"role\": \"human\", \"content\": \"what's the weather in sf?\"}]}
}") && sleep 2 && SECOND=$(curl --request POST \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs \
--header 'Content-Type: application/json' \
--data "{
  \"assistant_id\": \"agent\",
  \"input\": {\"messages\": [{\"role\": \"human\", \"content\": \"what's the weather in nyc?\"}]},
  \"multitask_strategy\": \"interrupt\"
}") && RUN_ID=$(jq -r .run_id <<< "$SECOND") && curl --request GET \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/$RUN_ID/join
echo

source pretty_print.sh && curl --request GET \
--url $DEPLOYMENT_URL/threads/$THREAD_ID/state | \
jq -c '.values.messages[]' | while read -r element; do
    type=$(echo "$element" | jq -r '.type')
    content=$(echo "$element" | jq -r '.content | if type == "array" then tostring else . end')
    pretty_print "$type" "$content"
done

STATE=$(curl --request GET --url $DEPLOYMENT_URL/threads/$THREAD_ID/state)
FIRST=$(curl --request GET --url $DEPLOYMENT_URL/threads/$THREAD_ID/runs/$(jq -r .run_id <<< "$FIRST"))
echo "{\"thread_id\": \"$THREAD_ID\", \"state\": $STATE, \"first_status\": $(jq .status <<< "$FIRST")}" | jq -c .
