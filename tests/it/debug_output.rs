//! A type that holds secrets does not print them: a message that happens to hold one is what a panic or a careless line
//! of the log shows.

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::BytesMut;
use tollgate::aws::sigv4;
use tollgate::aws::sts;
use tollgate::config::{HostRules, Limits, Options, Settings};
use tollgate::ledger::Payload;
use tollgate::net::ca::CertificateAuthority;
use tollgate::net::certificate_store::CertificateStore;
use tollgate::proxy::route::{Route, Rules, Scope, route};
use tollgate::wire::http1::{HeadLimits, RequestHead, RequestTarget, ResponseHead};

use crate::support::canary::Canaries;

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";

#[track_caller]
fn assert_discreet(canaries: &Canaries, what: &str, value: &dyn Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!text.is_empty());
        canaries.assert_absent(&format!("the Debug of {what}"), text.as_bytes());
    }
}

#[test]
fn heads_targets_and_what_is_made_of_them_print_no_secret() {
    let mut canaries = Canaries::default();
    let secret = canaries.plant("a request");
    let text = format!(
        "POST https://{HOST}/model/m/invoke?X-Amz-Signature={secret}&X-Amz-Security-Token={secret} HTTP/1.1\r\n\
         Host: {HOST}\r\nAuthorization: Bearer {secret}\r\nX-Amz-Security-Token: {secret}\r\nCookie: {secret}\r\n\r\n"
    );
    let head = RequestHead::take(&mut BytesMut::from(text.as_str()), &HeadLimits::default())
        .unwrap()
        .unwrap();
    assert_discreet(&canaries, "RequestHead", &head);
    assert_discreet(&canaries, "FieldLines", head.fields());
    let target = RequestTarget::parse("POST", head.target()).unwrap();
    assert_discreet(&canaries, "RequestTarget", &target);
    let path = format!("/x?token={secret}#{secret}");
    let target = RequestTarget::parse("POST", &path).unwrap();
    assert_discreet(&canaries, "RequestTarget", &target);
    assert_discreet(&canaries, "Credentials", &sigv4::read(&head));
    let rules = Rules {
        hosts: &HostRules::default(),
        routes: &[],
    };
    let planned = route(&head, &Scope::Port { server_name: None }, rules);
    assert!(matches!(planned, Route::Exchange(_)), "{planned:?}");
    assert_discreet(&canaries, "Plan", &planned);
    let text = format!("HTTP/1.1 200 {secret}\r\nSet-Cookie: {secret}\r\n\r\n");
    let head = ResponseHead::take(&mut BytesMut::from(text.as_str()), &HeadLimits::default())
        .unwrap()
        .unwrap();
    assert_discreet(&canaries, "ResponseHead", &head);
    let answer = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAEXAMPLE0TOLLGATE</AccessKeyId>\
         <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{secret}</SessionToken></Credentials>\
         <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/a/b</Arn></AssumedRoleUser></AssumeRoleResult>\
         </AssumeRoleResponse>"
    );
    let session = sts::session(answer.as_bytes());
    assert!(session.is_some());
    assert_discreet(&canaries, "Session", &session);
    let payload = Payload {
        request_body: secret.clone().into_bytes(),
        response_body: secret.into_bytes(),
        ..Payload::default()
    };
    assert_discreet(&canaries, "Payload", &payload);
}

#[test]
fn settings_print_no_password() {
    let mut canaries = Canaries::default();
    let password = canaries.plant("a proxy's password");
    let url = format!("http://user:{password}@proxy:3128");
    let options = Options {
        upstream_proxy: Some(url.into()),
        ..Options::default()
    };
    assert_discreet(&canaries, "Options", &options);
    let proxy = tollgate::config::UpstreamProxy::from_options(&options, |_| None).unwrap();
    assert!(proxy.as_ref().unwrap().authorization.is_some());
    assert_discreet(&canaries, "UpstreamProxy", &proxy);
    let mut settings = Settings::from_options(options, PathBuf::from("home"), None).unwrap();
    settings.upstream_proxy = proxy;
    assert_discreet(&canaries, "Settings", &settings);
}

#[tokio::test]
async fn authorities_and_their_leaves_print_no_key() {
    let home = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let domains = ["amazonaws.com".to_owned()];
    let authority = CertificateAuthority::open_or_create(home.path(), &domains, now).unwrap();
    let mut canaries = Canaries::default();
    canaries.watch_key(&std::fs::read_to_string(home.path().join("ca-key.pem")).unwrap());
    assert_discreet(&canaries, "CertificateAuthority", &authority);
    let key = rcgen::KeyPair::generate().unwrap();
    canaries.watch_key(&key.serialize_pem());
    let store = CertificateStore::new(authority, None, HashMap::new(), &Limits::default()).unwrap();
    let leaf = store.for_host(HOST, now).await.unwrap();
    assert_discreet(&canaries, "CertifiedKey", &leaf);
    assert_discreet(&canaries, "CertificateStore", &store);
}
