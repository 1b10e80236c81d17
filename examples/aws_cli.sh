#!/usr/bin/env bash
# Converse and InvokeModel with the AWS CLI (version 1 or 2) through tollgate.
#
#     tollgate serve                        # prints both lines to paste
#     export HTTPS_PROXY=http://localhost:5380
#     export AWS_CA_BUNDLE=…/bundle.pem
#     examples/aws_cli.sh
#
# In the ledger: entry `connect`, twice.
set -euo pipefail

aws bedrock-runtime converse \
    --model-id "${MODEL:-us.amazon.nova-lite-v1:0}" \
    --messages '[{"role": "user", "content": [{"text": "What does a toll gate do?"}]}]' \
    --query '{text: output.message.content[0].text, usage: usage}' --output json

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cat >"$work/request.json" <<'JSON'
{"inputText": "Human: explain black holes with 10 words\n\nAssistant:", "textGenerationConfig": {"maxTokenCount": 15}}
JSON
aws bedrock-runtime invoke-model \
    --model-id amazon.titan-text-express-v1 \
    --content-type application/json \
    --body "fileb://$work/request.json" "$work/response.json" >"$work/head.json"
cat "$work/response.json"
echo
