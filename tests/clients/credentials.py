"""The made-up credentials of the simulator, and what must never be found in anything tollgate keeps or prints."""

import re

ACCESS_KEY = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE0TOLLGATE",
    "AWS_SECRET_ACCESS_KEY": "tollgate/demo/secret/key/not/for/aws/use",
}
SESSION = {
    "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE0TOLLGATE",
    "AWS_SECRET_ACCESS_KEY": "tollgate/demo/session/key/not/for/aws/use",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzTOLLGATE//demo+session/token==",
}
BEARER = {"AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-tollgate-demo-key"}

SECRETS = [
    ACCESS_KEY["AWS_SECRET_ACCESS_KEY"],
    SESSION["AWS_SECRET_ACCESS_KEY"],
    SESSION["AWS_SESSION_TOKEN"],
    BEARER["AWS_BEARER_TOKEN_BEDROCK"],
]
SIGNATURE = re.compile(r"signature=[0-9a-f]{16,}", re.IGNORECASE)


def assert_no_secret_in(text):
    for secret in SECRETS:
        assert secret not in text
        assert secret.replace("/", r"\/") not in text
    assert not SIGNATURE.search(text)
