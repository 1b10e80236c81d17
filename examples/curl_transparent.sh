#!/usr/bin/env bash
# InvokeModel by a client that knows of no proxy: the AWS name leads to tollgate.
#
# In production, DNS or a hosts file says so, and tollgate listens on port 443; here curl's --connect-to does.
#
#     tollgate serve                        # prints where ca.pem is
#     export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…
#     TOLLGATE_CA=…/ca.pem examples/curl_transparent.sh
#
# In the ledger: entry `transparent`.
set -euo pipefail

tollgate=${TOLLGATE:-localhost:5380}
ca=${TOLLGATE_CA:?set TOLLGATE_CA to the path of ca.pem that tollgate prints}
region=${AWS_DEFAULT_REGION:-us-east-1}
host=bedrock-runtime.$region.amazonaws.com

printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" |
    curl --config - --silent --show-error --fail-with-body \
        --connect-to "$host:443:$tollgate" --cacert "$ca" \
        --aws-sigv4 "aws:amz:$region:bedrock" \
        --header 'content-type: application/json' \
        --data '{"inputText": "Human: explain black holes with 10 words\n\nAssistant:", "textGenerationConfig": {"maxTokenCount": 15}}' \
        "https://$host/model/amazon.titan-text-express-v1/invoke"
echo
