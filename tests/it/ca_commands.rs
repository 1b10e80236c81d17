//! `tollgate ca`: what clients must trust is shown, handed over and replaced without surprising those who use it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::support::door::Port;
use crate::support::gate::Plan;
use crate::support::process::{said, tollgate_alone};
use crate::support::{BEDROCK, within};

fn home() -> (TempDir, std::path::PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    (parent, home)
}

fn run(home: &Path, arguments: &[&str], variables: &[(&str, &Path)]) -> Output {
    let mut command = tollgate_alone(home);
    command.args(arguments).envs(variables.iter().copied());
    command.stdin(Stdio::null());
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn roots(file: &Path) -> Vec<CertificateDer<'static>> {
    let pem = std::fs::read(file).unwrap();
    CertificateDer::pem_slice_iter(&pem)
        .map(Result::unwrap)
        .collect()
}

/// Whether a program answers; those that are not installed are not tested.
fn exists(program: &str, version: &str) -> bool {
    let found = Command::new(program).arg(version).output();
    found.is_ok_and(|output| output.status.success())
}

#[test]
fn the_path_is_that_of_a_file_that_is_there() {
    let (_parent, home) = home();
    let path = said(&home, &["ca", "path"]);
    assert_eq!(Path::new(path.trim_end()), home.join("ca.pem"));
    assert_eq!(roots(&home.join("ca.pem")).len(), 1);
    let bundle = roots(&home.join("bundle.pem"));
    assert_eq!(bundle.last(), roots(&home.join("ca.pem")).first());
    // A look from elsewhere, with other roots in sight, does not change what clients read.
    let before = std::fs::read(home.join("bundle.pem")).unwrap();
    let ca = home.join("ca.pem");
    let output = run(&home, &["ca", "show"], &[("SSL_CERT_FILE", &ca)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(std::fs::read(home.join("bundle.pem")).unwrap(), before);
}

#[test]
fn the_bundle_has_the_roots_of_the_file_and_those_that_a_directory_adds() {
    let (parent, home) = home();
    let directory = parent.path().join("certs");
    std::fs::create_dir(&directory).unwrap();
    let file = parent.path().join("all.crt");
    let [one, two] = ["one", "two"].map(|name| {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        parameters.self_signed(&key).unwrap()
    });
    std::fs::write(&file, one.pem()).unwrap();
    std::fs::write(directory.join("one.pem"), one.pem()).unwrap();
    std::fs::write(directory.join("two.pem"), two.pem()).unwrap();
    let variables = [
        ("SSL_CERT_FILE", file.as_path()),
        ("SSL_CERT_DIR", &directory),
    ];
    let output = run(&home, &["ca", "path"], &variables);
    assert!(output.status.success(), "{}", stderr(&output));
    let bundle = roots(&home.join("bundle.pem"));
    assert_eq!(bundle.len(), 3);
    assert!(bundle.contains(one.der()) && bundle.contains(two.der()));
    assert_eq!(bundle.last(), roots(&home.join("ca.pem")).first());
}

#[tokio::test]
async fn a_rotation_leaves_the_running_gate_trusted_until_it_is_started_again() {
    let gate = Plan::new().start().await;
    let home = gate.home().to_owned();
    let old = roots(&home.join("ca.pem"));
    let refused = run(&home, &["ca", "rotate"], &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("a gate runs on this home"));
    assert_eq!(roots(&home.join("ca.pem")), old);

    let rotated = run(&home, &["ca", "rotate", "--force"], &[]);
    assert!(rotated.status.success(), "{}", stderr(&rotated));
    let both = roots(&home.join("ca.pem"));
    assert_eq!(both.len(), 2);
    assert_eq!(both[1], old[0]);
    let bundle = roots(&home.join("bundle.pem"));
    assert!(both.iter().all(|root| bundle.contains(root)));
    // A client that starts now trusts the gate that runs on.
    let now = Port::new(gate.address, &home);
    now.handshake(now.client_config(&[]), BEDROCK)
        .await
        .unwrap();

    let old_client = gate.client_config(&[]);
    let left = gate.stop().await;
    let again = Plan::in_home(left.home()).start().await;
    assert_eq!(roots(&home.join("ca.pem")), both, "a start keeps both");
    let new_client = again.client_config(&[]);
    again.handshake(new_client, BEDROCK).await.unwrap();
    again.handshake(old_client, BEDROCK).await.unwrap_err();
    again.stop().await;
}

#[test]
fn a_rotation_after_a_theft_leaves_no_trust_behind() {
    let (_parent, home) = home();
    said(&home, &["ca", "path"]);
    let old = roots(&home.join("ca.pem"));
    let old_key = std::fs::read(home.join("ca-key.pem")).unwrap();
    let text = said(&home, &["ca", "rotate", "--forget-previous"]);
    assert!(text.contains("take it out by hand"), "{text}");
    let new = roots(&home.join("ca.pem"));
    assert_eq!(new.len(), 1);
    assert_ne!(new, old);
    assert!(!roots(&home.join("bundle.pem")).contains(&old[0]));
    assert_ne!(std::fs::read(home.join("ca-key.pem")).unwrap(), old_key);
    for output in [
        said(&home, &["ca", "show"]),
        said(&home, &["ca", "show", "--json"]),
        said(&home, &["ca", "export", "--format", "pem"]),
        said(&home, &["ca", "export", "--format", "bundle"]),
    ] {
        assert!(!output.contains("PRIVATE KEY"));
    }
}

#[test]
fn java_reads_the_truststore() {
    if !exists("keytool", "-help") {
        println!("skipped: there is no keytool");
        return;
    }
    let (parent, home) = home();
    let store = parent.path().join("trust.p12");
    let file = store.to_str().unwrap();
    said(
        &home,
        &[
            "ca",
            "export",
            "--format",
            "p12",
            "-o",
            file,
            "--password",
            "another one",
        ],
    );
    let output = Command::new("keytool")
        .args(["-list", "-storetype", "PKCS12", "-keystore", file])
        .args(["-storepass", "another one"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("trustedCertEntry").count(), 1, "{text}");
    let shown = said(&home, &["ca", "show", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let fingerprint = shown["root"]["fingerprint_sha256"].as_str().unwrap();
    assert!(text.contains(fingerprint), "{text}");
}

#[test]
fn a_runtime_is_asked_in_the_environment_it_has() {
    let (_parent, home) = home();
    said(&home, &["ca", "path"]);
    let (ca, bundle) = (home.join("ca.pem"), home.join("bundle.pem"));
    let rows = [
        ("curl", "--version", "CURL_CA_BUNDLE", &bundle),
        ("openssl", "version", "SSL_CERT_FILE", &bundle),
        ("node", "--version", "NODE_EXTRA_CA_CERTS", &ca),
    ];
    for (program, version, variable, file) in rows {
        if !exists(program, version) {
            println!("skipped: there is no {program}");
            continue;
        }
        let check = ["ca", "check", "--", program];
        let bare = run(&home, &check, &[]);
        let text = String::from_utf8_lossy(&bare.stdout);
        assert_eq!(bare.status.code(), Some(1), "{program}: {text}");
        assert!(
            text.contains(&format!("export {variable}='{}'", file.display())),
            "{text}"
        );
        // A proxy of the environment is not where the probe goes.
        let nowhere = Path::new("http://127.0.0.1:9");
        let set = run(&home, &check, &[(variable, file), ("HTTPS_PROXY", nowhere)]);
        let text = String::from_utf8_lossy(&set.stdout);
        assert!(set.status.success(), "{program}: {text} {}", stderr(&set));
        assert!(text.contains(": trusted\n"), "{text}");
    }
    let unknown = run(&home, &["ca", "check", "--", "ruby"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("known are python, node, java, curl, openssl"));
}

#[test]
fn each_library_of_a_python_is_asked() {
    if !exists("python3", "--version") {
        println!("skipped: there is no python3");
        return;
    }
    let (_parent, home) = home();
    said(&home, &["ca", "path"]);
    let bundle = home.join("bundle.pem");
    let variables = [
        ("SSL_CERT_FILE", bundle.as_path()),
        ("AWS_CA_BUNDLE", &bundle),
        ("REQUESTS_CA_BUNDLE", &bundle),
    ];
    let check = ["ca", "check", "--json", "--", "python3"];
    let output = run(&home, &check, &variables);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", stderr(&output));
    let found: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found[0]["library"], "ssl");
    assert!(found.iter().all(|one| one["trusted"] == true), "{found:?}");
    let output = run(&home, &check, &[]);
    assert_eq!(output.status.code(), Some(1));
}

/// A certificate for localhost that ends in `days` days, and its key.
fn pair(directory: &Path, days: i64) -> (std::path::PathBuf, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
    let certificate = params.self_signed(&key).unwrap();
    let (cert, key_file) = (directory.join("cert.pem"), directory.join("key.pem"));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (cert, key_file)
}

/// Ends with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a gate with this certificate logs until it has said each of `wanted`.
async fn logged(home: &Path, cert: &Path, key: &Path, wanted: &'static [&'static str]) -> String {
    use std::io::BufRead;
    let mut command = tollgate_alone(home);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.env("NO_COLOR", "1");
    command
        .arg("--tls-cert")
        .arg(cert)
        .arg("--tls-key")
        .arg(key);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut gate = Killed(command.spawn().unwrap());
    let stderr = gate.0.stderr.take().unwrap();
    let reading = spawn_blocking(move || {
        let mut said = String::new();
        for line in std::io::BufReader::new(stderr).lines() {
            said.push_str(&line.unwrap());
            if wanted.iter().all(|words| said.contains(words)) {
                break;
            }
        }
        said
    });
    within("the gate's log", reading).await.unwrap()
}

#[tokio::test]
async fn an_end_that_is_near_is_logged_at_the_start_and_found_by_the_doctor() {
    let (parent, home) = home();
    let rows: [(i64, bool, &[&str]); 2] = [
        (
            10,
            true,
            &["listens on", "a certificate expires soon", "days_left=9"],
        ),
        (31, false, &["listens on"]),
    ];
    for (days, near, wanted) in rows {
        let (cert, key) = pair(parent.path(), days);
        let said = logged(&home, &cert, &key, wanted).await;
        assert!(wanted.iter().all(|words| said.contains(words)), "{said}");
        assert_eq!(said.contains("expires soon"), near, "{said}");

        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        let doctor = ["doctor", "--offline", "--listen", "127.0.0.1:0"];
        let pair = ["--tls-cert", cert, "--tls-key", key];
        let output = run(&home, &[&doctor[..], &pair[..]].concat(), &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains("in 9 days"), near, "{text}");
    }
}
