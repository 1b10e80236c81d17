//! Canaries: a secret is planted in every place a head has, in every spelling, and must not be in what comes out.
//! Beside them, heads as clients send them, where everything that is no secret must still stand.

use bytes::BytesMut;

use super::mask::{named, printable, request_head, response_head, target, word};
use crate::wire::http1::{HeadLimits, RequestHead, ResponseHead};

pub(super) const CANARY: &str = "cAnArY0123456789";

/// As long as a secret access key.
const SECRET_KEY: &str = "cAnArY0123456789cAnArY0123456789cAnArY01";

pub(super) fn request(bytes: &str) -> String {
    let mut bytes = BytesMut::from(bytes);
    let head = RequestHead::take(&mut bytes, &HeadLimits::default())
        .unwrap()
        .unwrap();
    String::from_utf8(request_head(&head)).unwrap()
}

pub(super) fn response(bytes: &str) -> String {
    let mut bytes = BytesMut::from(bytes);
    let head = ResponseHead::take(&mut bytes, &HeadLimits::default())
        .unwrap()
        .unwrap();
    String::from_utf8(response_head(&head)).unwrap()
}

fn line(line: &str) -> String {
    let masked = request(&format!("POST /m HTTP/1.1\r\n{line}\r\nHost: h\r\n\r\n"));
    let masked = masked.strip_prefix("POST /m HTTP/1.1\r\n").unwrap();
    masked
        .strip_suffix("\r\nHost: h\r\n\r\n")
        .unwrap()
        .to_owned()
}

#[test]
fn a_signed_head_stays_as_received_but_for_its_secrets() {
    let head = |signature: &str, token: &str, proxy: &str| {
        format!(
            "POST https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse HTTP/1.1\r\n\
             Host: bedrock-runtime.us-east-1.amazonaws.com\r\n\
             Accept-Encoding: identity\r\n\
             Content-Type:application/json\r\n\
             X-Empty:\r\n\
             X-Blank: \t \r\n\
             X-Trail:  a = b%20c \t\r\n\
             X-Colon: ::a: b\r\n\
             X-Amz-Date: 20261122T015525Z\r\n\
             X-Amz-Security-Token: {token}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature={signature}\r\n\
             amz-sdk-request: attempt=1; max=1\r\n\
             X-Amzn-Bedrock-Request-Metadata: {{\"team\": \"a@b.example\"}}\r\n\
             Content-Length: 61\r\n\
             Proxy-Authorization: Basic {proxy}\r\n\
             \r\n"
        )
    };
    assert_eq!(
        request(&head(CANARY, CANARY, CANARY)),
        head("***", "***", "***")
    );
}

#[test]
fn heads_without_secrets_are_untouched() {
    for head in [
        "CONNECT bedrock-runtime.us-east-1.amazonaws.com:443 HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /async-invoke?maxResults=5&nextToken=t&submitTimeAfter=2026-01-01T00%3A00%3A00Z HTTP/1.1\r\nhost:h\r\n\r\n",
        "GET /a@b/%zz%?x=%26y==@ HTTP/1.1\r\nReferer: https://h/p@q?u=a@b\r\nAccess-Control-Request-Headers: x-amz-security-token,authorization\r\n\r\n",
    ] {
        assert_eq!(request(head), head);
    }
    let head = "HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1-2\r\nX-Amzn-Bedrock-Input-Token-Count: 3\r\nx-ratelimit-remaining-tokens: 5\r\nLocation: /x?y=z%3D\r\n\r\n";
    assert_eq!(response(head), head);
}

#[test]
fn authorization_keeps_scheme_scope_and_signed_headers() {
    let scope = "Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request";
    let rows = [
        (
            format!("AWS4-HMAC-SHA256 {scope},SignedHeaders=host,Signature={CANARY}"),
            format!("AWS4-HMAC-SHA256 {scope},SignedHeaders=host,Signature=***"),
        ),
        (
            format!("aws4-hmac-sha256 SIGNATURE={CANARY} , {scope}"),
            format!("aws4-hmac-sha256 SIGNATURE=***, {scope}"),
        ),
        (
            format!("AWS4-ECDSA-P256-SHA256 {scope} Signature={CANARY}"),
            "AWS4-ECDSA-P256-SHA256 Credential=***".to_owned(),
        ),
        (
            format!("AWS4-HMAC-SHA256 Signature = {CANARY}, {CANARY}, x={CANARY}, "),
            "AWS4-HMAC-SHA256 ***, ***, ***, ".to_owned(),
        ),
        (format!("Bearer {CANARY}"), "Bearer ***".to_owned()),
        (format!("bEaReR\t {CANARY} x"), "bEaReR ***".to_owned()),
        (format!("Basic {CANARY}"), "Basic ***".to_owned()),
        (format!("Token {CANARY}"), "Token ***".to_owned()),
        ("Negotiate".to_owned(), "Negotiate".to_owned()),
        // Who takes the secret key for its id writes it where the id belongs.
        (
            format!(
                "AWS4-HMAC-SHA256 Credential={SECRET_KEY}/20261122/us-east-1/bedrock/aws4_request, Signature=0"
            ),
            "AWS4-HMAC-SHA256 Credential=***, Signature=***".to_owned(),
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential=a/{CANARY}/b, SignedHeaders=a b"),
            "AWS4-HMAC-SHA256 Credential=***, SignedHeaders=***".to_owned(),
        ),
        // A first word that is no scheme may be the secret itself.
        (CANARY.to_owned(), "***".to_owned()),
        (format!("{CANARY} x"), "***".to_owned()),
    ];
    for name in [
        "Authorization",
        "AUTHORIZATION",
        "proxy-authorization",
        "X-Forwarded-Authorization",
    ] {
        for (value, masked) in &rows {
            assert_eq!(
                line(&format!("{name}: {value}")),
                format!("{name}: {masked}")
            );
        }
    }
}

#[test]
fn secret_fields_lose_their_whole_value() {
    for name in [
        "X-Amz-Security-Token",
        "x-amz-s3session-token",
        "X-Amz-Sso_Bearer_Token",
        "x-aws-ec2-metadata-token",
        "x-amzn-oidc-accesstoken",
        "x-api-key",
        "X-API-KEY",
        "api-key",
        "openai-api-key",
        "Cookie",
        "Set-Cookie",
        "x-amz-server-side-encryption-customer-key",
        "X-Amz-Server-Side-Encryption-Customer-Key-MD5",
        "x-amz-copy-source-server-side-encryption-customer-key",
        "Ocp-Apim-Subscription-Key",
        "x-functions-key",
        "x-client-secret",
        "X-Password",
        "x-auth",
        "X-Vault-Token",
        "x-amzn-oidc-data",
        "cf-access-jwt-assertion",
        "x-ms-client-principal",
        "DPoP",
        "Sec-WebSocket-Protocol",
        "Authentication-Info",
    ] {
        let sent = format!("{name}:  a={CANARY}; b, c");
        assert_eq!(line(&sent), format!("{name}:  ***"), "{name}");
        let both = response(&format!("HTTP/1.1 200 OK\r\n{sent}\r\n{sent}\r\n\r\n"));
        assert!(!both.contains(CANARY), "{both}");
    }
}

/// Targets with `@` for the secret, and what is left of them.
#[rustfmt::skip]
const QUERIES: &[(&str, &str)] = &[
    ("/m?X-Amz-Signature=@", "/m?X-Amz-Signature=***"),
    ("/m?a=b&X-Amz-Security-Token=@&c=d", "/m?a=b&X-Amz-Security-Token=***&c=d"),
    ("/m?X-Amz-Signature=@&X-Amz-Security-Token=@", "/m?X-Amz-Signature=***&X-Amz-Security-Token=***"),
    ("/m?x-AMZ-sIgNaTuRe=@", "/m?x-AMZ-sIgNaTuRe=***"),
    ("/m?X-Amz-Signature=", "/m?X-Amz-Signature="),
    ("/m?X-Amz-Signature=&a=b", "/m?X-Amz-Signature=&a=b"),
    ("/m?X-Amz-Signature", "/m?X-Amz-Signature"),
    ("/m?X-Amz-SignedHeaders=host%3Bx-amz-security-token&a=b", "/m?X-Amz-SignedHeaders=host%3Bx-amz-security-token&a=b"),
    // Base64, and characters that end nothing.
    ("/m?X-Amz-Security-Token=a/b+c==@?x;y#z", "/m?X-Amz-Security-Token=***"),
    // Names with escapes.
    ("/m?X%2DAmz%2dSignature=@&a=b", "/m?X%2DAmz%2dSignature=***&a=b"),
    ("/m?%58-%41mz-%53ecurity-Token=@", "/m?%58-%41mz-%53ecurity-Token=***"),
    ("/m?X-Amz-Signature%3D@&a=b", "/m?X-Amz-Signature%3D***&a=b"),
    // A URL in a parameter, and one in that, with their own separators.
    ("/l?next=https%3A%2F%2Fh%2F%3FX-Amz-Signature%3D@%26a%3Db&c=d", "/l?next=https%3A%2F%2Fh%2F%3FX-Amz-Signature%3D***&c=d"),
    ("/l?next=%252F%253FX-Amz-Signature%253D@&c=d", "/l?next=%252F%253FX-Amz-Signature%253D***&c=d"),
    ("/l?next=%2525%32%3558-Amz-Signature=@", "/l?next=%2525%32%3558-Amz-Signature=***"),
    ("/m?X-Amz-Signatur%6%35=@", "/m?X-Amz-Signatur%6%35=***"),
    ("/p%3Fa%26X-Amz-Signature%3d@/q", "/p%3Fa%26X-Amz-Signature%3d***"),
    ("/m?X-Amz-Signature=@&X-Amz-Signature=@", "/m?X-Amz-Signature=***&X-Amz-Signature=***"),
    ("/m?X-Amz-Signature=X-Amz-Signature=@&b", "/m?X-Amz-Signature=***&b"),
    ("/m?a=1&amp;X-Amz-Signature=@", "/m?a=1&amp;X-Amz-Signature=***"),
    ("/m?api-key=@&access_token=@", "/m?api-key=***&access_token=***"),
    ("/m?client_secret=@&Password=@&x-authorization=@", "/m?client_secret=***&Password=***&x-authorization=***"),
    ("/m?token=@&a=1&KEY=@;sig=@", "/m?token=***&a=1&KEY=***"),
    ("/m?nextToken=1&next-token=1&monkey=2&design=3", "/m?nextToken=1&next-token=1&monkey=2&design=3"),
    // The secret key in the place of its id, and an id.
    ("/m?X-Amz-Credential=cAnArY0123456789cAnArY0123456789cAnArY01%2F20261122%2Fus-east-1%2Fbedrock%2Faws4_request", "/m?X-Amz-Credential=***"),
    ("/m?X-Amz-Credential=AKIAEXAMPLE0TOLLGATE%2F20261122%2Fus-east-1%2Fbedrock%2Faws4_request", "/m?X-Amz-Credential=AKIAEXAMPLE0TOLLGATE%2F20261122%2Fus-east-1%2Fbedrock%2Faws4_request"),
    // Keys that are known by their form.
    ("/model/bedrock-api-key-@%2Finvoke?a=b", "/model/***?a=b"),
    ("/m/ABSK@@@?x=IQoJb3JpZ2lu@@", "/m/***?x=***"),
    ("/m/FwoGZXIvYXdz@@%3D%3d", "/m/***"),
    ("/mü?ü=ü&X-Amz-Signature=ü@ü&ü", "/mü?ü=ü&X-Amz-Signature=***&ü"),
];

#[test]
fn a_word_or_a_named_value_of_a_peer_holds_no_secret() {
    let key = format!("bedrock-api-key-{CANARY}");
    for (sent, masked) in [
        ("anthropic.claude-v2:1", "anthropic.claude-v2:1"),
        (key.as_str(), "***"),
        ("https://u:p@h/", "https://***@h/"),
        ("x?X-Amz-Signature=1", "x?X-Amz-Signature=***"),
        ("end_turn", "end_turn"),
    ] {
        assert_eq!(word(sent), masked);
        assert_eq!(named("team", sent), masked);
        for name in ["x-api-key", "Authorization", "session_token", "password"] {
            assert_eq!(named(name, sent), "***");
        }
    }
    assert_eq!(named("password", ""), "");
    let metadata = format!("X-Meta: {{\"a\":\"b\",\"Authorization\":\"Bearer {CANARY}\"}}");
    assert_eq!(
        line(&metadata),
        "X-Meta: {\"a\":\"b\",\"Authorization\":\"Bearer ***\"}"
    );
}

#[test]
fn queries_lose_signature_and_token_in_every_target_form() {
    for &(sent, masked) in QUERIES {
        let sent = sent.replace('@', CANARY);
        assert_eq!(target(&sent), masked, "{sent}");
        for (form, at) in [
            ("https://h:443", "https://h:443"),
            ("https://u:p@h", "https://***@h"),
        ] {
            assert_eq!(target(&format!("{form}{sent}")), format!("{at}{masked}"));
        }
        let head = request(&format!(
            "GET https://h{sent} HTTP/1.1\r\nReferer: https://h{sent}\r\nX-Other: {sent}\r\n\r\n"
        ));
        assert_eq!(
            head,
            format!(
                "GET https://h{masked} HTTP/1.1\r\nReferer: https://h{masked}\r\nX-Other: {masked}\r\n\r\n"
            )
        );
        let head = response(&format!("HTTP/1.1 302 Found\r\nLocation: {sent}\r\n\r\n"));
        assert_eq!(
            head,
            format!("HTTP/1.1 302 Found\r\nLocation: {masked}\r\n\r\n")
        );
    }
}

#[test]
fn userinfo_is_masked_wherever_an_authority_stands() {
    let rows = [
        ("https://@user@h/p", "https://***@h/p"),
        ("HTTPS://me:@pass@h:443?x", "HTTPS://***@h:443?x"),
        ("http://me:a@b@c@h", "http://***@h"),
        ("http://me:p%40ss%2Fw@h/", "http://***@h/"),
        ("me:@pass@h:443", "***@h:443"),
        ("token@h:443", "***@h:443"),
        ("//me@h/p", "//***@h/p"),
        ("/l?next=https://me:pw@h/&a=b", "/l?next=https://***@h/&a=b"),
        (
            "/l?next=https%3A%2F%2Fme%3Apw%40h%2F",
            "/l?next=https%3A%2F%2F***%40h%2F",
        ),
        // One that starts within another secret.
        (
            "/m?X-Amz-Signature=https://u&x:pw@h/",
            "/m?X-Amz-Signature=***@h/",
        ),
        // No userinfo.
        ("https://h/a@b?c@d#e@f", "https://h/a@b?c@d#e@f"),
        ("https://@h/", "https://@h/"),
        ("/a@b", "/a@b"),
        (
            "give http[s]://[USER:PASSWORD@]HOST",
            "give http[s]://[USER:PASSWORD@]HOST",
        ),
        ("*", "*"),
        ("h:443", "h:443"),
        ("https:/me:pw@h/", "https:/***@h/"),
    ];
    for (sent, masked) in rows {
        assert_eq!(target(sent), masked, "{sent}");
    }
    assert_eq!(
        line("Referer: https://me:pw@h/p@q"),
        "Referer: https://***@h/p@q"
    );
    // Nothing announces an authority in these, or wrongly.
    for (sent, masked) in [
        ("X-Forwarded-Host: me@h", "X-Forwarded-Host: ***@h"),
        ("X-Original-Host: me:pw@h:443", "X-Original-Host: ***@h:443"),
        ("X-Proxy: me:pw@h", "X-Proxy: ***@h"),
        ("X-Proxy: http:/me:p=w@h/", "X-Proxy: http:/***@h/"),
        ("X-Mail: me@h, you@h", "X-Mail: me@h, you@h"),
    ] {
        assert_eq!(line(sent), masked);
    }
    assert_eq!(
        request("CONNECT me:pw@h:443 HTTP/1.1\r\n\r\n"),
        "CONNECT ***@h:443 HTTP/1.1\r\n\r\n"
    );
}

/// What a field is called, or ends with, whose value is a secret.
const FIELDS: &str = "token key secret password passwd passphrase signature cookie cookie2 credential credentials assertion \
    jwt -auth dpop authentication-info oidc-data client-principal websocket-protocol customer-key customer-key-md5";

/// What a parameter is called, or ends with, whose value is a secret.
const PARAMETERS: &str = "signature security-token securitytoken session-token session_token sessiontoken identitytoken \
    identity_token access-token access_token accesstoken refresh_token refreshtoken id_token auth_token authtoken \
    bearer_token samlassertion assertion authorization api-key api_key apikey subscription-key accesskey access-key \
    access_key secretkey secret-key secret_key secret password passwd passphrase";

/// What a parameter is called whose value is a secret, where longer names mean something else.
const WORDS: &str = "token key sig auth jwt pwd bearer";

#[test]
fn every_name_of_a_secret_is_known_in_fields_and_in_queries() {
    for name in FIELDS.split_ascii_whitespace() {
        for name in [format!("X-My{name}"), name.to_ascii_uppercase()] {
            assert_eq!(line(&format!("{name}: {CANARY}")), format!("{name}: ***"));
        }
    }
    let masked = |name: &str| target(&format!("/m?a=1&{name}={CANARY}&b=2"));
    for name in PARAMETERS.split_ascii_whitespace() {
        for name in [name.to_owned(), format!("my{}", name.to_ascii_uppercase())] {
            assert_eq!(masked(&name), format!("/m?a=1&{name}=***&b=2"));
        }
    }
    for name in WORDS.split_ascii_whitespace() {
        assert_eq!(masked(name), format!("/m?a=1&{name}=***&b=2"));
        let longer = format!("mon{name}");
        assert_eq!(masked(&longer), format!("/m?a=1&{longer}={CANARY}&b=2"));
    }
}

#[test]
fn a_key_that_stands_as_a_method_or_as_a_name_is_masked() {
    let key = format!("ABSK{CANARY}{CANARY}{CANARY}");
    assert_eq!(line(&format!("{key}: x")), "***: x");
    let head = format!("{key} /m HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(request(&head), "*** /m HTTP/1.1\r\nHost: h\r\n\r\n");
}

#[test]
fn a_reason_phrase_keeps_its_line_end() {
    assert_eq!(
        response("HTTP/1.1 400 signature=cAnArY\r\nA: b\r\n\r\n"),
        "HTTP/1.1 400 signature=***\r\nA: b\r\n\r\n"
    );
    assert_eq!(response("HTTP/1.1 200 \r\n\r\n"), "HTTP/1.1 200 \r\n\r\n");
}

#[test]
fn values_that_are_no_utf8_pass_as_they_are() {
    let mut bytes =
        BytesMut::from(&b"GET / HTTP/1.1\r\nX: \xff\xfe=%ff\r\nCookie: \xff\r\n\r\n"[..]);
    let head = RequestHead::take(&mut bytes, &HeadLimits::default())
        .unwrap()
        .unwrap();
    assert_eq!(
        request_head(&head),
        b"GET / HTTP/1.1\r\nX: \xff\xfe=%ff\r\nCookie: ***\r\n\r\n"
    );
}

#[test]
fn long_targets_are_masked_to_their_end() {
    let long = |piece: &str| piece.repeat((1 << 20) / piece.len());
    assert_eq!(
        target(&format!("/?{}", long("signature="))),
        "/?signature=***"
    );
    let names = long("signature=&");
    assert_eq!(target(&format!("/?{names}")), format!("/?{names}"));
    let layers = format!("%{}3D", long("25"));
    assert_eq!(
        target(&format!("/?signature{layers}{CANARY}")),
        format!("/?signature{layers}***")
    );
}

#[test]
fn printable_lines_hold_no_control() {
    let rows: [(&[u8], &str); 12] = [
        (b"", ""),
        (b"plain text", "plain text"),
        ("grüße 🦀".as_bytes(), "grüße 🦀"),
        (b"a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c"),
        (b"\x1b[31m\0", "\\u{1b}[31m\\u{0}"),
        (b"\x7f", "\\u{7f}"),
        ("\u{85}\u{9b}".as_bytes(), "\\u{85}\\u{9b}"),
        (
            "\u{202e}\u{2066}\u{200f}\u{61c}".as_bytes(),
            "\\u{202e}\\u{2066}\\u{200f}\\u{61c}",
        ),
        ("\u{2028}\u{2029}".as_bytes(), "\\u{2028}\\u{2029}"),
        ("\u{feff}\u{200b}".as_bytes(), "\\u{feff}\\u{200b}"),
        (b"\xffa", "\u{fffd}a"),
        (b"\xe2\x82", "\u{fffd}"),
    ];
    for (bytes, shown) in rows {
        assert_eq!(printable(bytes), shown);
    }
}

#[test]
fn printable_lines_end_at_256_characters() {
    let shown = |text: &str| printable(text.as_bytes());
    assert_eq!(shown(&"a".repeat(256)), "a".repeat(256));
    assert_eq!(shown(&"a".repeat(257)), format!("{}…", "a".repeat(255)));
    assert_eq!(shown(&"🦀".repeat(256)), "🦀".repeat(256));
    assert_eq!(
        shown(&"🦀".repeat(1 << 16)),
        format!("{}…", "🦀".repeat(255))
    );
    // An escape is shown whole or not at all.
    let escaped = shown(&"\n".repeat(100));
    assert_eq!(escaped, format!("{}…", "\\u{a}".repeat(51)));
}

#[test]
fn a_key_behind_an_escaped_colon_is_masked() {
    // Targets whose only escapes are colons are not decoded, as long as nothing can be hidden by that.
    let key = format!("ABSK{}", "cAnArY0123456789".repeat(3));
    for colon in ["%3A", "%3a", ":", "%253A"] {
        let masked = target(&format!("/model/m-v1{colon}0/x{colon}{key}"));
        assert!(!masked.contains(CANARY), "{masked}");
    }
    let plain = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream";
    assert_eq!(target(plain), plain);
}
