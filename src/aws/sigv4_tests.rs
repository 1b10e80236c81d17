//! Credentials as clients send them, as an independent signer makes them, and as nobody should.
//! One row per form; the signer is `aws-sigv4`, which this crate uses in tests and in the simulator only.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as Keys;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use bytes::BytesMut;
use proptest::prelude::*;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::sigv4::{
    CredentialScope, Credentials, Placement, Signature, account_of, is_session, read,
};
use crate::wire::http1::{HeadLimits, RequestHead};

const KEY_ID: &str = "AKIAEXAMPLE0TOLLGATE";
const SCOPE: &str = "AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request";
const HEX: &str = "093b661796ced8de0a6457201e3780a2d9f30f28c6ad9052bdc8d915224f69d4";

fn head(target: &str, lines: &[&str]) -> RequestHead {
    let mut bytes = BytesMut::from(format!("POST {target} HTTP/1.1\r\nHost: h\r\n").as_str());
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    RequestHead::take(&mut bytes, &HeadLimits::default())
        .unwrap()
        .unwrap()
}

fn authorization(value: &str) -> Credentials {
    read(&head("/", &[&format!("Authorization: {value}")]))
}

fn expected(placement: Placement, signed_headers: &[&str]) -> Signature {
    Signature {
        scope: CredentialScope {
            access_key_id: KEY_ID.to_owned(),
            date: "20261122".to_owned(),
            region: Some("us-east-1".to_owned()),
            service: "bedrock".to_owned(),
        },
        signed_headers: signed_headers.join(";"),
        placement,
        asymmetric: false,
    }
}

#[test]
fn authorization_is_read_in_every_spelling() {
    let rows = [
        format!(
            "AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=content-type;host;x-amz-date, Signature={HEX}"
        ),
        format!(
            "AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=content-type;host;x-amz-date,Signature={HEX}"
        ),
        format!(
            "AWS4-HMAC-SHA256   Signature={HEX} , Credential={SCOPE}\t, SignedHeaders=Content-Type;Host;X-Amz-Date,"
        ),
        format!(
            "aws4-hmac-sha256 credential={SCOPE}, signedheaders=content-type;host;x-amz-date, signature={HEX}, extra"
        ),
    ];
    let signature = expected(Placement::Header, &["content-type", "host", "x-amz-date"]);
    for value in rows {
        assert_eq!(
            authorization(&value),
            Credentials::SigV4(signature.clone()),
            "{value}"
        );
    }
    assert!(signature.signs("Content-Type") && signature.signs("host"));
    assert!(!signature.signs("accept") && !signature.signs(""));
}

#[test]
fn pseudo_headers_may_be_signed() {
    let Credentials::SigV4(signature) = authorization(&format!(
        "AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=:authority;x-amz-date, Signature={HEX}"
    )) else {
        panic!("a signature");
    };
    assert!(signature.signs(":authority") && !signature.signs("host"));
}

#[test]
fn an_asymmetric_scope_has_no_region() {
    let Credentials::SigV4(signature) = authorization(&format!(
        "AWS4-ECDSA-P256-SHA256 Credential={KEY_ID}/20261122/bedrock/aws4_request, SignedHeaders=host;x-amz-region-set, Signature=3045"
    )) else {
        panic!("a signature");
    };
    assert!(signature.asymmetric);
    assert_eq!(signature.scope.region, None);
    assert_eq!(signature.scope.service, "bedrock");
}

#[test]
fn a_presigned_query_is_read_in_every_target_form() {
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20261122T020730Z&X-Amz-Expires=300&X-Amz-SignedHeaders=content-type%3Bhost&X-Amz-Signature={HEX}",
        SCOPE.replace('/', "%2F")
    );
    let raw = format!(
        "X-Amz-Signature={HEX}&X-Amz-SignedHeaders=content-type;host&X-Amz-Credential={SCOPE}&X-Amz-Algorithm=AWS4-HMAC-SHA256"
    );
    let signature = expected(Placement::Query, &["content-type", "host"]);
    for target in [
        format!("/model/m/converse?{query}"),
        format!("https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse?{query}"),
        format!("/?x=1&{raw}&y"),
        format!("/?{}", query.replace("X-Amz-", "X%2DAmz-")),
    ] {
        assert_eq!(
            read(&head(&target, &[])),
            Credentials::SigV4(signature.clone()),
            "{target}"
        );
    }
    for target in [
        // Half a pre-signed request, one with a parameter twice, one with an unknown algorithm.
        format!("/?X-Amz-Signature={HEX}"),
        format!("/?{query}&X-Amz-Credential={SCOPE}"),
        format!("/?{}", query.replace("HMAC", "HMAX")),
        format!("/?{}", query.replace("%3Bhost", "%3B%0Ahost")),
    ] {
        assert_eq!(read(&head(&target, &[])), Credentials::Other, "{target}");
    }
    // AWS compares the names with their case.
    let lower = format!("/?{}", query.to_lowercase());
    assert_eq!(read(&head(&lower, &[])), Credentials::None);
}

#[test]
fn the_header_goes_before_the_query_and_the_query_before_the_key() {
    let target = format!("/?X-Amz-Credential={SCOPE}");
    let key = ["x-api-key: k"];
    assert_eq!(read(&head(&target, &key)), Credentials::Other);
    let bearer = read(&head(&target, &["authorization: Bearer b", key[0]]));
    assert_eq!(bearer, authorization("Bearer b"));
    assert_ne!(bearer, read(&head("/", &key)));
}

#[test]
fn what_another_signer_makes_is_read() {
    let identity = Keys::from_keys(KEY_ID, "secret", Some("token".to_owned())).into();
    for (location, placement) in [
        (SignatureLocation::Headers, Placement::Header),
        (SignatureLocation::QueryParams, Placement::Query),
    ] {
        let mut settings = SigningSettings::default();
        settings.signature_location = location;
        settings.expires_in = Some(Duration::from_secs(300));
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("bedrock-mantle")
            .time(UNIX_EPOCH + Duration::from_secs(1_795_312_800))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = "https://bedrock-mantle.eu-west-1.api.aws/v1/chat/completions";
        let request =
            SignableRequest::new("POST", uri, std::iter::empty(), SignableBody::Bytes(b"{}"))
                .unwrap();
        let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
        let mut signed = http::Request::builder().uri(uri).body(()).unwrap();
        instructions.apply_to_request_http1x(&mut signed);
        let lines: Vec<String> = signed
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let target = signed.uri().path_and_query().unwrap().as_str();
        let Credentials::SigV4(signature) = read(&head(target, &lines)) else {
            panic!("{placement:?}: {target} {lines:?}");
        };
        assert_eq!(signature.placement, placement);
        assert_eq!(signature.scope.access_key_id, KEY_ID);
        assert_eq!(signature.scope.date, "20261122");
        assert_eq!(signature.scope.region.as_deref(), Some("eu-west-1"));
        assert_eq!(signature.scope.service, "bedrock-mantle");
        assert!(signature.signs("Host"));
    }
}

#[test]
fn a_short_term_key_tells_whose_key_made_it_and_a_long_term_key_nothing() {
    let url = "bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Algorithm=AWS4-HMAC-SHA256&\
               X-Amz-Credential=ASIAEXAMPLE000000001%2F20261122%2Fus-west-2%2Fbedrock%2Faws4_request&\
               X-Amz-Date=20261122T020730Z&X-Amz-Expires=43200&X-Amz-SignedHeaders=host&\
               X-Amz-Security-Token=secret&X-Amz-Signature=0a1b&Version=1";
    let scope = |key: &str| match authorization(&format!("Bearer {key}")) {
        Credentials::Bearer { scope, .. } => scope,
        other => panic!("{other:?}"),
    };
    let key = format!("bedrock-api-key-{}", STANDARD.encode(url));
    let found = scope(&key).unwrap();
    assert_eq!(found.access_key_id, "ASIAEXAMPLE000000001");
    assert_eq!(found.region.as_deref(), Some("us-west-2"));
    for cut in 0..key.len() {
        let cut = key.get(..cut).unwrap();
        if !cut.is_empty() {
            assert!(scope(cut).is_none_or(|scope| scope == found), "{cut}");
        }
    }
    let long_term = format!("ABSK{}", STANDARD.encode("BedrockAPIKey-abcd-at-1:secret"));
    assert_eq!(scope(&long_term), None);
    assert_eq!(scope("bedrock-api-key-****"), None);
}

#[test]
fn a_bearer_label_is_stable_and_shows_nothing_of_the_key() {
    let label = |credentials: Credentials| match credentials {
        Credentials::Bearer { label, .. } => label,
        other => panic!("{other:?}"),
    };
    let key = "bedrock-api-key-FAKEFAKEFAKE";
    let first = label(authorization(&format!("Bearer {key}")));
    assert_eq!(first, "key-9a9c46542ce2");
    for same in [format!("bearer   {key}"), format!("BEARER\t{key}  ")] {
        assert_eq!(label(authorization(&same)), first);
    }
    let api_key = format!("X-Api-Key: {key}");
    assert_eq!(label(read(&head("/", &[&api_key]))), first);
    assert_ne!(label(authorization(&format!("Bearer {key}x"))), first);
    let digits = first.strip_prefix("key-").unwrap();
    assert_eq!(digits.len(), 12);
    assert!(digits.bytes().all(|octet| octet.is_ascii_hexdigit()));
}

#[test]
fn garbage_is_other() {
    let scope = |credential: &str| {
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={HEX}")
    };
    let with_headers = |names: &str| {
        format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={names}, Signature={HEX}")
    };
    let rows = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer   ".to_owned(),
        "Basic dXNlcjpwdw==".to_owned(),
        "AWS4-HMAC-SHA256".to_owned(),
        "AWS4-HMAC-SHA256 ,,,===".to_owned(),
        format!("AWS4-HMAC-SHA512 Credential={SCOPE}, SignedHeaders=host, Signature={HEX}"),
        // A part missing, empty or twice.
        format!("AWS4-HMAC-SHA256 SignedHeaders=host, Signature={HEX}"),
        format!("AWS4-HMAC-SHA256 Credential={SCOPE}, Signature={HEX}"),
        format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host"),
        format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature="),
        format!("{}, Credential={SCOPE}", with_headers("host")),
        // Scopes that are none.
        scope(""),
        scope("AKIAEXAMPLE0TOLLGATE"),
        scope("AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock"),
        scope("AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_response"),
        scope("AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request/x"),
        scope("AKIAEXAMPLE0TOLLGATE/20261122//bedrock/aws4_request"),
        scope("AKIAEXAMPLE0TOLLGATE/20261122/us-east-1//aws4_request"),
        scope("AKIAEXAMPLE0TOLLGATE/2026112/us-east-1/bedrock/aws4_request"),
        scope("AKIAEXAMPLE0TOLLGATE/2026112x/us-east-1/bedrock/aws4_request"),
        scope("AKIASHORT/20261122/us-east-1/bedrock/aws4_request"),
        scope("AKIAEXAMPLE0<script>/20261122/us-east-1/bedrock/aws4_request"),
        scope("AKIAEXAMPLE0\tTOLLGATE/20261122/us-east-1/bedrock/aws4_request"),
        scope("AKIAEXAMPLEÄTOLLGATE/20261122/us-east-1/bedrock/aws4_request"),
        scope(&format!(
            "{}/20261122/us-east-1/bedrock/aws4_request",
            "A".repeat(129)
        )),
        scope(&format!(
            "{KEY_ID}/20261122/{}/bedrock/aws4_request",
            "a".repeat(65)
        )),
        scope(&"/".repeat(20_000)),
        // Lists of names that are none.
        with_headers(""),
        with_headers("host;"),
        with_headers("ho st"),
        with_headers(&vec!["h"; 257].join(";")),
    ];
    for value in rows {
        assert_eq!(authorization(&value), Credentials::Other, "{value}");
    }
}

#[test]
fn the_longest_that_is_accepted() {
    let long_id = format!(
        "{}/20261122/us-east-1/bedrock/aws4_request",
        "A".repeat(128)
    );
    let names = vec!["h"; 256].join(";");
    let credentials = authorization(&format!(
        "AWS4-HMAC-SHA256 Credential={long_id}, SignedHeaders={names}, Signature={HEX}"
    ));
    assert!(
        matches!(credentials, Credentials::SigV4(_)),
        "{credentials:?}"
    );
}

#[test]
fn no_credentials_and_too_many() {
    assert_eq!(read(&head("/model/m/converse?a=b", &[])), Credentials::None);
    let bearer = "Authorization: Bearer k";
    let twice: [&[&str]; 3] = [
        &[bearer, bearer],
        &[bearer, "authorization:"],
        &["x-api-key: a", "X-API-KEY: a"],
    ];
    for lines in twice {
        assert_eq!(read(&head("/", lines)), Credentials::Other, "{lines:?}");
    }
    assert_eq!(read(&head("/", &["x-api-key:"])), Credentials::Other);
}

#[test]
fn newer_key_ids_tell_their_account() {
    // Published by those who found the encoding out, with the answers of STS.
    let rows = [
        ("ASIAQNZGKIQY56JQ7WML", Some("029608264753")),
        ("ASIAY34FZKBOKMUTVV7A", Some("609629065308")),
        ("AKIAWDB7XWLS3OBANPCE", Some("418892985061")),
        ("AKIAQAAAAAAAAAAAAAAA", Some("000000000000")),
        // Older ids: decoding them would name a stranger's account.
        ("AKIAJWMRCSBBKQO4HQCQ", None),
        ("AKIAIOSFODNN7EXAMPLE", None),
        ("ASIAPPPPPPPPPPPPPPPP", None),
        // More than twelve digits.
        ("AKIA7777777777777777", None),
        // No key ids.
        ("", None),
        ("AKIA", None),
        ("ASIAQNZGKIQY56JQ7WM", None),
        ("ASIAQNZGKIQY56JQ7WMLA", None),
        ("asiaqnzgkiqy56jq7wml", None),
        ("AIDAQNZGKIQY56JQ7WML", None),
        ("AKIAEXAMPLE0TOLLGATE", None),
        ("ASIAQNZGKIQY06JQ7WML", None),
        ("ASIAQNZGKIQY16JQ7WML", None),
        ("ASIAQNZGKIQY86JQ7WML", None),
        ("ASIAQNZGKIQY96JQ7WML", None),
        ("ASIAQNZGKIQY=6JQ7WML", None),
        ("ASIAQNZGKIQYÄJQ7WML", None),
    ];
    for (access_key_id, account) in rows {
        assert_eq!(
            account_of(access_key_id).as_deref(),
            account,
            "{access_key_id}"
        );
    }
    // Digits come before Q in ASCII and behind it in base32.
    assert!(account_of("ASIA2AAAAAAAAAAAAAAA").is_some());
}

#[test]
fn sessions_are_told_by_their_prefix() {
    assert!(is_session("ASIAQNZGKIQY56JQ7WML"));
    assert!(!is_session("AKIAQNZGKIQY56JQ7WML"));
    assert!(!is_session("asia"));
    assert!(!is_session(""));
}

proptest! {
    #[test]
    fn no_head_panics_and_no_ugly_id_comes_out(
        value in "(AWS4-HMAC-SHA256 |Bearer )?[ -~éü]{0,200}",
        scope in "[A-Z0-9é\t/]{10,24}/2026112[0-9a]/[a-z0-9-]{0,8}/bedrock/aws4_request",
        query in "[!-~]{0,80}",
    ) {
        let made = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        for value in [value, made] {
            let credentials = read(&head(&format!("/?{query}"), &[&format!("Authorization:{value}")]));
            if let Credentials::SigV4(signature) = credentials {
                prop_assert!(signature.scope.access_key_id.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_'));
            }
        }
        let _credentials = read(&head(&format!("/?X-Amz-Credential={query}&{query}"), &[]));
    }

    #[test]
    fn an_account_is_twelve_digits(id in "(AKIA|ASIA)[A-Z2-7]{16}|\\PC{0,24}") {
        if let Some(account) = account_of(&id) {
            prop_assert!(account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit()));
        }
    }
}
