//! Secrets that reach the program by other ways than a request: its own options, the environment it is started in, the
//! proxy it goes on to, and its keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use crate::support::canary::Canaries;
use crate::support::process::{Process, tollgate_alone};
use crate::support::run::Place;
use crate::support::{Door, RawUpstream};

/// A host that no option leads past the proxy.
const BEHIND: &str = "bedrock-runtime.eu-west-1.amazonaws.com";

/// What a command says, on both outputs.
fn said(command: &mut Command) -> (Vec<u8>, Output) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    ([&output.stdout[..], &output.stderr].concat(), output)
}

#[expect(
    clippy::too_many_lines,
    reason = "one run of the program, looked at from every side"
)]
#[tokio::test]
async fn the_password_of_the_upstream_proxy_is_for_the_proxy_alone() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let upstream = RawUpstream::tls().await;
    let proxy = RawUpstream::plain().await;
    let mut canaries = Canaries::default();
    let password = canaries.plant("the upstream proxy's password");
    let url = format!("http://user:{password}@{}", proxy.address);
    let gate = Process::start_with(&home, &upstream, |command| {
        command
            .args(["--log-format", "json", "--upstream-proxy", &url])
            .env("TOLLGATE_LOG", "trace");
    })
    .await;
    let pair = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("user:{password}"),
    );
    // A proxy that says again what it was told, wherever it can.
    let answers = [
        format!(
            "HTTP/1.1 407 Basic {pair}\r\nProxy-Authenticate: Basic{pair} realm=\"{password}\"\r\nContent-Length: 0\r\n\r\n"
        ),
        format!(
            "HTTP/1.1 407 {password}\r\nProxy-Authenticate: {pair}\r\nContent-Length: 0\r\n\r\n"
        ),
        format!("HTTP/1.1 502 {password}\r\nVia: {pair}\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 200\r\nX{pair}\r\n\r\n"),
        format!("{pair}\r\n\r\n"),
        String::new(),
    ];
    for answer in answers {
        let mut client = Door::Forward.open(&gate, BEHIND).await;
        client
            .send(format!("POST https://{BEHIND}/model/m/converse HTTP/1.1\r\nHost: {BEHIND}\r\nContent-Length: 0\r\n\r\n"))
            .await;
        let mut asked = proxy.accept().await;
        let head = asked.head().await;
        let shown = format!("Proxy-Authorization: Basic {pair}\r\n");
        assert!(
            String::from_utf8_lossy(&head).contains(&shown),
            "the proxy is shown it"
        );
        asked.try_send(&answer).await.ok();
        asked.close().await;
        let refused = client.answer().await;
        assert_eq!(refused.status(), 503, "{answer}");
        canaries.assert_absent("what the client is told", &refused.raw());
    }
    gate.terminate();
    let (_, stdout, stderr) = gate.ended_saying().await;
    canaries.assert_absent("standard output", stdout.as_bytes());
    canaries.assert_absent("standard error", stderr.as_bytes());
    assert!(
        stderr.contains(
            "others can read the upstream proxy's password: it stands on the command line"
        ),
        "{stderr}"
    );
    canaries.assert_absent_below(&home, &[]);
    for list in [
        &["doctor", "--offline", "--upstream-proxy", &url][..],
        &["doctor", "--json", "--offline", "--upstream-proxy", &url],
        &["serve", "--listen", "nonsense", "--upstream-proxy", &url],
        &["serve", "--upstream-proxy", &url, "--help"],
        &[
            "serve",
            "--upstream-proxy",
            &format!("ftp://user:{password}@h"),
        ],
        &[
            "serve",
            "--upstream-proxy",
            &format!("http:/user:{password}@h/path"),
        ],
    ] {
        let (said, _) = said(tollgate_alone(&home).args(list));
        canaries.assert_absent(list[0], &said);
    }
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        for url in [
            &url,
            &format!("user:{password}@proxy:3128/path"),
            &format!("socks5://user:{password}@proxy"),
        ] {
            for list in [
                &["check"][..],
                &["env"],
                &["doctor", "--offline"],
                &["run", "--quiet", "--", "true"],
                &["serve", "--help"],
            ] {
                let mut command = tollgate_alone(&home);
                command
                    .env(variable, url)
                    .env("TOLLGATE_UPSTREAM_PROXY", "env");
                let (text, _) = said(command.args(list));
                canaries.assert_absent(&format!("{variable} and {}", list[0]), &text);
            }
        }
    }
}

#[test]
fn a_password_in_a_configuration_is_not_repeated() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let mut canaries = Canaries::default();
    let password = canaries.plant("a password in a configuration");
    let files = [
        "upstream_proxy = \"http://user:{}@proxy:0\"",
        "upstream_proxy = \"http://user:{}@proxy\" x",
        "upstream_proxy = 'http://user:{}@proxy",
        "\"upstream_proxy\" = [\"http://user:{}@proxy\"]",
        "upstream_proxy = \"\"\"\nhttp://user:{}@proxy\n\"\"\" x",
        "upstream_prozy = \"http://user:{}@proxy\"",
        "[[route]]\nprefix = \"/x/\"\nupstream = \"https://user:{}@host\"",
        "[[route]]\nprefix = \"/x/\"\nupstreem = \"https://user:{}@host\"",
        "intercept = [\"user:{}@host\"]",
        "listen = \"user:{}@host\"",
        "connect_to = [\"user:{}@host:1:b:2\"]",
        "upstream_no_proxy = [\"user:{}@host/1\"]",
    ];
    let path = place.path().join("some.toml");
    for text in files {
        fs::write(&path, text.replace("{}", &password)).unwrap();
        for list in [
            &["check"][..],
            &["doctor", "--offline"],
            &["serve"],
            &["env"],
            &["log"],
        ] {
            let mut command = tollgate_alone(&home);
            command
                .env_remove("TOLLGATE_HOME")
                .env("TOLLGATE_CONFIG", &path);
            let (text_said, output) = said(command.args(list));
            assert!(!output.status.success(), "{list:?} with {text}: {output:?}");
            canaries.assert_absent(&format!("{list:?} with {text}"), &text_said);
        }
    }
    for base in [
        format!("https://user:{password}@host"),
        format!("http://user:{password}@host"),
        format!("https://host/?token={password}"),
    ] {
        let mut command = tollgate_alone(&home);
        let (text, output) = said(command.arg("check").env("AISERVICE_API_BASE", &base));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        canaries.assert_absent("AISERVICE_API_BASE", &text);
    }
    let aws = format!(
        "[default]\naws_secret_access_key = {password}\nendpoint_url = https://user:{password}@host\nca_bundle = /none\n"
    );
    fs::write(&path, aws).unwrap();
    for list in [
        &["doctor", "--offline"][..],
        &["doctor", "--offline", "--json"],
    ] {
        let mut command = tollgate_alone(&home);
        let (text, _) = said(command.args(list).env("AWS_CONFIG_FILE", &path));
        let shown = String::from_utf8_lossy(&text).into_owned();
        assert!(shown.contains("endpoint_url in "), "{shown}");
        canaries.assert_absent("~/.aws/config", &text);
    }
}

#[tokio::test]
async fn what_a_command_has_in_its_environment_is_its_own() {
    let upstream = RawUpstream::tls().await;
    let place = Place::before(&upstream);
    let temporary = place.parent.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut canaries = Canaries::default();
    let secrets = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_BEARER_TOKEN_BEDROCK",
        "ANTHROPIC_API_KEY",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ]
    .map(|name| (name, canaries.plant(name)));
    let urls = [
        "HTTPS_PROXY",
        "AWS_ENDPOINT_URL",
        "ANTHROPIC_BEDROCK_BASE_URL",
    ]
    .map(|name| {
        (
            name,
            format!("http://user:{}@corp.example:3128", canaries.plant(name)),
        )
    });
    // What the run leaves for its command, while it is there.
    let look =
        "find \"$TMPDIR\" -type f -exec cat {} + ; find \"$TMPDIR\" -printf '%m %y %f\\n'; exit 7";
    for list in [
        &["--node-hook", "--java", "--", "sh", "-c", look][..],
        &["--quiet", "--", "no-such-command-anywhere"],
    ] {
        let mut command = place.run(list);
        command
            .envs(secrets.iter().map(|(name, secret)| (*name, secret)))
            .envs(urls.iter().map(|(name, url)| (*name, url)))
            .env("TMPDIR", &temporary)
            .env("TOLLGATE_LOG", "trace");
        let (text, output) = said(&mut command);
        canaries.assert_absent(&format!("run {list:?}"), &text);
        if list[0] == "--node-hook" {
            assert_eq!(output.status.code(), Some(7), "{output:?}");
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(
                text.contains("BEGIN CERTIFICATE") || text.contains("roots.jks"),
                "{text}"
            );
            for line in text
                .lines()
                .filter(|line| line.contains(" d tollgate-run-"))
            {
                assert!(line.starts_with("700 "), "{line}");
            }
            assert!(text.contains("700 d tollgate-run-"), "{text}");
        }
    }
    canaries.assert_absent_below(place.parent.path(), &[]);
    assert_eq!(
        fs::read_dir(&temporary).unwrap().count(),
        0,
        "nothing is left"
    );
}

/// A certificate and its key in `place`; the key is watched.
fn pair(place: &Path, name: &str, canaries: &mut Canaries) -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    canaries.watch_key(&key.serialize_pem());
    let files = [
        (format!("{name}.pem"), certificate.pem()),
        (format!("{name}-key.pem"), key.serialize_pem()),
    ];
    files.map(|(name, text)| {
        let path = place.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[tokio::test]
async fn keys_of_the_operator_stay_in_their_files() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let mut canaries = Canaries::default();
    let [authority, authority_key] = pair(place.path(), "authority", &mut canaries);
    let [listener, listener_key] = pair(place.path(), "listener", &mut canaries);
    let upstream = RawUpstream::tls().await;
    let own = ["--ca-cert", &authority, "--ca-key", &authority_key];
    let port = ["--tls-cert", &listener, "--tls-key", &listener_key];
    let gate = Process::start_with(&home, &upstream, |command| {
        command.args(own).args(port).env("TOLLGATE_LOG", "trace");
    })
    .await;
    let client = Door::Connect.open(&gate, BEHIND).await;
    client.close().await;
    gate.terminate();
    let (status, stdout, stderr) = gate.ended_saying().await;
    assert!(status.success(), "{stderr}");
    canaries.assert_absent("standard output", stdout.as_bytes());
    canaries.assert_absent("standard error", stderr.as_bytes());
    canaries.assert_absent_below(&home, &[]);
    // In the wrong order, with the wrong file, and readable by others: a refusal names the file and shows nothing of it.
    let shown = place.path().join("shown.pem");
    fs::copy(&listener_key, &shown).unwrap();
    fs::set_permissions(&shown, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = shown.to_str().unwrap();
    for wrong in [
        ["--tls-cert", &listener_key, "--tls-key", &listener],
        ["--tls-cert", &listener, "--tls-key", &authority_key],
        ["--tls-cert", &listener, "--tls-key", shown],
        ["--ca-cert", &authority_key, "--ca-key", &authority],
        ["--ca-cert", &authority, "--ca-key", &listener_key],
        ["--upstream-ca", &authority_key, "--listen", "127.0.0.1:0"],
        ["--prices-file", &authority_key, "--listen", "127.0.0.1:0"],
        ["--config", &authority_key, "--listen", "127.0.0.1:0"],
    ] {
        let mut command = tollgate_alone(&home);
        let (text, output) = said(command.arg("serve").args(wrong));
        assert!(!output.status.success(), "{wrong:?}");
        canaries.assert_absent(&format!("{wrong:?}"), &text);
        let (text, _) = said(
            tollgate_alone(&home)
                .args(["doctor", "--offline"])
                .args(wrong),
        );
        canaries.assert_absent(&format!("doctor with {wrong:?}"), &text);
    }
}
