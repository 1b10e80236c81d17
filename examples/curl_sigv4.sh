#!/usr/bin/env bash
# InvokeModel with curl, which signs the request itself, through tollgate as http:// and as https:// proxy.
#
#     tollgate serve                        # prints where ca.pem is
#     export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…      (and AWS_SESSION_TOKEN, if it is a session)
#     TOLLGATE_CA=…/ca.pem examples/curl_sigv4.sh
#
# Needs curl 7.75 or later. The secret is handed over on standard input, so that `ps` does not show it.
# In the ledger: entry `connect`, twice.
set -euo pipefail

tollgate=${TOLLGATE:-localhost:5380}
ca=${TOLLGATE_CA:?set TOLLGATE_CA to the path of ca.pem that tollgate prints}
region=${AWS_DEFAULT_REGION:-us-east-1}
url=https://bedrock-runtime.$region.amazonaws.com/model/amazon.titan-text-express-v1/invoke
body='{"inputText": "Human: explain black holes with 10 words\n\nAssistant:", "textGenerationConfig": {"maxTokenCount": 15}}'

credentials() {
    printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
    if [ -n "${AWS_SESSION_TOKEN:-}" ]; then
        printf 'header = "x-amz-security-token: %s"\n' "$AWS_SESSION_TOKEN"
    fi
}

for scheme in http https; do
    credentials | curl --config - --silent --show-error --fail-with-body \
        --proxy "$scheme://$tollgate" --proxy-cacert "$ca" --cacert "$ca" \
        --aws-sigv4 "aws:amz:$region:bedrock" \
        --header 'content-type: application/json' --data "$body" "$url"
    echo
done
