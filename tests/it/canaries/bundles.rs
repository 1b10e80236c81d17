//! What clients and upstreams send, with a canary in every place where a secret can stand.

use std::io::Write as _;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::canary::Canaries;

/// A request without its door: path and query, field-lines (each with its CRLF), and a body.
pub(super) struct Bundle {
    pub(super) target: String,
    pub(super) lines: String,
    pub(super) body: Vec<u8>,
}

const SCOPE: &str = "AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request";

/// Lines of text, each with a canary for `{}`.
fn lines(canaries: &mut Canaries, lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| format!("{}\r\n", line.replace("{}", &canaries.plant(line))))
        .collect()
}

fn planted(canaries: &mut Canaries, what: &str, text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split("{}").enumerate() {
        if at > 0 {
            out.push_str(&canaries.plant(&format!("{what}, place {at}")));
        }
        out.push_str(part);
    }
    out
}

pub(super) fn bundles(canaries: &mut Canaries) -> Vec<Bundle> {
    vec![
        signed(canaries),
        presigned(canaries),
        bearer(canaries),
        other_keys(canaries),
        bare(canaries),
        keys_by_form(canaries),
        repeated(canaries),
        events(canaries),
    ]
}

/// SigV4 in a header, and every field that a secret is known to stand in.
fn signed(canaries: &mut Canaries) -> Bundle {
    let mut text = lines(
        canaries,
        &[
            &format!(
                "Authorization: AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature={{}}"
            ),
            "X-Amz-Security-Token: {}",
            "x-amz-s3session-token:{}",
            "x-api-key: {}",
            "api-key: {}",
            "Ocp-Apim-Subscription-Key: {}",
            "x-functions-key: {}",
            "x-secret: {}",
            "x-auth: {}",
            "x-amzn-oidc-data: {}",
            "x-amzn-oidc-accesstoken: {}",
            "x-goog-iap-jwt-assertion: {}",
            "x-ms-client-principal: {}",
            "DPoP: {}",
            "Sec-WebSocket-Protocol: aws, {}",
            "Cookie: a=b; session={}",
            "Referer: https://h/?X-Amz-Signature={}",
            "X-Forwarded-Host: user:{}@host",
            "X-Amzn-Bedrock-Request-Metadata: {\"Authorization\":\"Bearer {}\"}",
            "User-Agent: Boto3/1.0 https://user:{}@host app/x",
        ],
    );
    let pair = canaries.plant_pair("Proxy-Authorization: Basic");
    text.push_str(&format!("Proxy-Authorization: Basic {pair}\r\n"));
    let body = planted(
        canaries,
        "a JSON body",
        r#"{"messages":[{"role":"user","content":[{"text":"{\"SecretAccessKey\":\"{}\",\"SessionToken\": \"{}\"}"},
        {"text":"export AWS_SECRET_ACCESS_KEY={} AWS_SESSION_TOKEN='{}' AWS_BEARER_TOKEN_BEDROCK=\"{}\""},
        {"text":"curl -H 'Authorization: Bearer {}' -H \"x-api-key: {}\""}]}],
        "aws_secret_access_key": "{}", "sessionToken":"{}", "access_token" : "{}",
        "requestMetadata":{"x-api-key":"{}","link":"https://user:{}@host/","team":"search"}}"#,
    );
    Bundle {
        target: "/model/m/converse".to_owned(),
        lines: text,
        body: body.into_bytes(),
    }
}

/// Credentials in the query, in odd spellings, and in a form.
fn presigned(canaries: &mut Canaries) -> Bundle {
    let query = planted(
        canaries,
        "a pre-signed query",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE0TOLLGATE%2F20261122%2Fus-east-1%2Fbedrock%2F\
         aws4_request&X-Amz-Date=20261122T000000Z&X-Amz-SignedHeaders=host&X-Amz-Security-Token={}&X-Amz-Signature={}\
         &x-amz-signature={}&X-AMZ-SECURITY-TOKEN={}&X-Amz-Sign%61ture={}&%58%2DAmz%2dSecurity%2DToken={}\
         &X-Amz-Signature%3D{}&next=https%3A%2F%2Fh%2F%3FX-Amz-Signature%3D{}%26a%3Db&u=https%3A%2F%2Fu%3A{}%40h%2F\
         &n=%2525%32%3558-Amz-Signature={}&access_token={}&token={}&key={}&password={}&client_secret={}&authorization={}\
         &X-Amz-Signature=&X-Amz-Signature={}",
    );
    let body = planted(
        canaries,
        "a form",
        "Action=AssumeRoleWithWebIdentity&WebIdentityToken={}&X-Amz-Security-Token={}&X-Amz-Signature={}&SAMLAssertion={}",
    );
    Bundle {
        target: format!("/model/m/invoke?{query}"),
        lines: "Content-Type: application/x-www-form-urlencoded\r\n".to_owned(),
        body: body.into_bytes(),
    }
}

/// A bearer key, and an answer of STS as a body.
fn bearer(canaries: &mut Canaries) -> Bundle {
    let body = planted(
        canaries,
        "XML",
        "<Credentials><AccessKeyId>ASIAEXAMPLE0TOLLGATE</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{}</SessionToken></Credentials>",
    );
    Bundle {
        target: "/model/m/invoke".to_owned(),
        lines: lines(canaries, &["authorization: bEaReR   {}", "X-Plain: y"]),
        body: body.into_bytes(),
    }
}

/// Basic credentials, and what is under a content coding.
fn other_keys(canaries: &mut Canaries) -> Bundle {
    let pair = canaries.plant_pair("Authorization: Basic");
    let text = planted(
        canaries,
        "a compressed body",
        r#"{"SecretAccessKey":"{}","SessionToken":"{}"}"#,
    );
    let mut coder = GzEncoder::new(Vec::new(), Compression::default());
    coder.write_all(text.as_bytes()).unwrap();
    // Not a pair, so perhaps a password alone.
    let lone = canaries.plant("Proxy-Authorization: Basic without a colon");
    let lone = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, lone);
    Bundle {
        target: "/model/m/converse".to_owned(),
        lines: format!(
            "Authorization: Basic {pair}\r\nProxy-Authorization: Basic {lone}\r\nContent-Encoding: gzip\r\n"
        ),
        body: coder.finish().unwrap(),
    }
}

/// Credentials without, and with an unheard-of, scheme; the secret key where its id belongs; a private key as a body.
fn bare(canaries: &mut Canaries) -> Bundle {
    let text = lines(
        canaries,
        &[
            "Authorization: {}",
            "X-Forwarded-Authorization: Unheard {}",
            "Proxy-Authorization: {}",
        ],
    );
    let key = canaries.plant("a private key in PEM");
    let body =
        format!("-----BEGIN EC PRIVATE KEY-----\n{key}\n{key}\n-----END EC PRIVATE KEY-----\n");
    Bundle {
        target: "/model/m/invoke".to_owned(),
        lines: text,
        body: body.into_bytes(),
    }
}

/// Keys that are known by how they begin, where nothing else tells what they are.
fn keys_by_form(canaries: &mut Canaries) -> Bundle {
    let path = canaries.plant("a Bedrock key in the path");
    let query = canaries.plant("a Bedrock key in the query");
    let text = lines(
        canaries,
        &[
            "X-Odd: bedrock-api-key-{}",
            "X-Odd-Too: look, ABSK{}abcdefghijklmnop!",
            "User-Agent: Boto3/1.0 app/bedrock-api-key-{}",
            "X-Session: IQoJb3JpZ2luX2VjE{}",
            "X-Session-Too: FwoGZXIvYXdzE{}",
            "amz-sdk-invocation-id: bedrock-api-key-{}",
        ],
    );
    let body = planted(
        canaries,
        "a body with keys",
        r#"{"messages":[{"role":"user","content":[{"text":"my key is bedrock-api-key-{}, and ABSK{}abcdefghijklmnop"}]}],
        "requestMetadata":{"bedrock-api-key-{}":"x","note":"IQoJb3JpZ2luX2VjE{}"}}"#,
    );
    Bundle {
        target: format!("/model/bedrock-api-key-{path}/converse?x=ABSK{query}abcdefghijklmnop"),
        lines: text,
        body: body.into_bytes(),
    }
}

/// Every credential twice, and two of different kinds.
fn repeated(canaries: &mut Canaries) -> Bundle {
    let secret_key = canaries.plant("the secret key in the place of its id");
    let secret_key = format!("{secret_key}{}", &"0".repeat(40 - secret_key.len()));
    let mut text = lines(
        canaries,
        &[
            "Authorization: Bearer {}",
            "AUTHORIZATION: Bearer {}",
            "X-Amz-Security-Token: {}",
            "x-amz-security-token: {}",
            "X-Api-Key: {}",
            "x-api-key: {}",
        ],
    );
    text.push_str(&format!(
        "X-Old-Authorization: AWS4-HMAC-SHA256 Credential={secret_key}/20261122/us-east-1/bedrock/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    ));
    Bundle {
        target: format!(
            "/model/m/invoke?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host&X-Amz-Signature=0&\
             X-Amz-Credential={secret_key}%2F20261122%2Fus-east-1%2Fbedrock%2Faws4_request"
        ),
        lines: text,
        body: b"{}".to_vec(),
    }
}

/// An event stream whose messages are signed, and hold credentials.
fn events(canaries: &mut Canaries) -> Bundle {
    let signature = canaries.plant("the signature of an event");
    let payload = planted(canaries, "an event", r#"{"SessionToken":"{}"}"#);
    let message = Message::new(payload.into_bytes())
        .add_header(Header::new(
            ":chunk-signature",
            HeaderValue::ByteArray(signature.into_bytes().into()),
        ))
        .add_header(Header::new(
            ":event-type",
            HeaderValue::String("chunk".to_owned().into()),
        ));
    let mut body = Vec::new();
    write_message_to(&message, &mut body).unwrap();
    write_message_to(&message, &mut body).unwrap();
    let secret_key = canaries.plant("a session's secret key as its id");
    let secret_key = format!("{secret_key}{}", &"0".repeat(40 - secret_key.len()));
    Bundle {
        target: "/model/m/invoke".to_owned(),
        lines: format!(
            "Content-Type: application/vnd.amazon.eventstream\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={secret_key}/20261122/us-east-1/bedrock/aws4_request, \
             SignedHeaders=host, Signature=0\r\n"
        ),
        body,
    }
}

/// A whole answer of an upstream that gives away what it should not.
pub(super) fn indiscreet_answer(canaries: &mut Canaries) -> Vec<u8> {
    let body = planted(
        canaries,
        "the body of an answer",
        r#"{"Credentials":{"AccessKeyId":"ASIAEXAMPLE0TOLLGATE","SecretAccessKey":"{}","SessionToken":"{}"},
        "stopReason":"https://user:{}@h/","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#,
    );
    let head = lines(
        canaries,
        &[
            "HTTP/1.1 200 https://user:{}@h/",
            "Set-Cookie: id={}",
            "set-cookie2: {}",
            "x-amz-security-token: {}",
            "Location: https://h/?X-Amz-Signature={}",
            "x-amzn-requestid: https://h/?X-Amz-Security-Token={}",
            "Authentication-Info: rspauth={}",
            "x-amzn-remapped-authorization: {}",
            "Content-Type: application/json",
        ],
    );
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// How AWS refuses a signature: with the canonical request, session token included, as its own bytes made it.
pub(super) fn refusal_of_aws(canaries: &mut Canaries) -> Vec<u8> {
    let body = planted(
        canaries,
        "AWS's refusal",
        r#"{"message":"The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this request should have been\n'POST\n/model/m/converse\nX-Amz-Signature={}\nhost:h\nx-amz-security-token:{}\nx-api-key:{}\n\nhost;x-amz-security-token\n0a1b'"}"#,
    );
    let head = lines(
        canaries,
        &[
            "HTTP/1.1 403 Forbidden",
            "x-amzn-ErrorType: InvalidSignatureException",
            "x-amzn-RequestId: bedrock-api-key-{}",
            "Content-Type: application/json",
        ],
    );
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An error whose type is what it should not be.
pub(super) fn indiscreet_error(canaries: &mut Canaries) -> Vec<u8> {
    let head = lines(
        canaries,
        &[
            "HTTP/1.1 400 Bad",
            "x-amzn-ErrorType: //user;{}@h/?token={}",
            "Content-Length: 2",
        ],
    );
    format!("{head}\r\n{{}}").into_bytes()
}
