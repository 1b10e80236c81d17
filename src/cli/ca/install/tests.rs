//! Installing on a machine of the test's own: a directory as `/`, and tools that only write down how they were called.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::cli::ca::export::alias;
use crate::net::certificates::certificate_pem;

struct Bench {
    directory: TempDir,
    machine: Machine,
    authority: CertificateAuthority,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let domains = ["amazonaws.com".to_owned()];
        let now = SystemTime::now();
        CertificateAuthority::open_or_create(&home, &domains, now).unwrap();
        let authority = CertificateAuthority::rotate(&home, &domains, true, now).unwrap();
        let tools = directory.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let machine = Machine {
            root: directory.path().join("root"),
            user_home: Some(directory.path().join("user")),
            path: tools.into_os_string(),
            java_home: Some(directory.path().join("jdk")),
            macos: false,
        };
        fs::create_dir_all(&machine.root).unwrap();
        Self {
            directory,
            machine,
            authority,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A tool that writes its arguments to the file `calls` and then does `script`, with `$R` the test's directory.
    fn tool(&self, name: &str, script: &str) {
        let path = self.path("tools").join(name);
        let here = self.directory.path().display();
        let text = format!(
            "#!/bin/sh\nR='{here}'\necho \"{name} $*\" | /bin/sed \"s|$R/||g\" >> \"$R/calls\"\n{script}\n"
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> String {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        fs::remove_file(self.path("calls")).ok();
        calls
    }

    fn ask(
        &self,
        store: Store,
        direction: Direction,
        yes: bool,
        terminal: bool,
        answer: &str,
    ) -> (Result<(), InstallError>, String) {
        let ca_pem = self.path("home/ca.pem");
        let wish = match direction {
            Direction::Install => Wish::Install(&self.authority),
            Direction::Uninstall => Wish::Uninstall(certificates_in(&fs::read(&ca_pem).unwrap())),
        };
        let request = Request {
            stores: vec![store],
            wish,
            ca_pem: &ca_pem,
            yes,
        };
        let mut out = Vec::new();
        let asked = Asked {
            terminal,
            input: &mut Cursor::new(answer.as_bytes()),
        };
        let result = request.fulfil(&self.machine, asked, &mut out);
        (result, String::from_utf8(out).unwrap())
    }

    fn go(&self, store: Store, direction: Direction) -> Result<String, InstallError> {
        let (result, said) = self.ask(store, direction, true, false, "");
        result.map(|()| said)
    }

    fn names(&self) -> [String; 2] {
        let names: Vec<String> = self.authority.trusted().map(|root| alias(root)).collect();
        names.try_into().unwrap()
    }
}

const DEBIAN: &str = "root/usr/local/share/ca-certificates";

#[test]
fn a_debian_store_takes_the_root_and_gives_back_exactly_it() {
    let bench = Bench::new();
    let anchors = bench.dir(DEBIAN);
    bench.tool("update-ca-certificates", "");
    fs::write(anchors.join("tollgate-else.crt"), "not ours").unwrap();
    let said = bench.go(Store::System, Direction::Install).unwrap();
    assert!(
        said.contains("can only vouch for host names in localhost, amazonaws.com"),
        "{said}"
    );
    let [new, old] = bench.names();
    let file = anchors.join(format!("{new}.crt"));
    let root = certificate_pem(bench.authority.trusted().next().unwrap());
    assert_eq!(fs::read_to_string(&file).unwrap(), root);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    assert_eq!(bench.calls(), "update-ca-certificates \n");

    let again = bench.go(Store::System, Direction::Install).unwrap();
    assert!(again.starts_with("nothing to do"), "{again}");
    assert_eq!(bench.calls(), "");

    // The root before, under a name that somebody chose, is ours as well.
    let previous = certificate_pem(bench.authority.trusted().nth(1).unwrap());
    fs::write(anchors.join("chosen.crt"), previous).unwrap();
    fs::write(anchors.join(format!("{old}.crt")), "only named like it").unwrap();
    bench.go(Store::System, Direction::Uninstall).unwrap();
    let mut left: Vec<String> = fs::read_dir(&anchors)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut wanted = [format!("{old}.crt"), "tollgate-else.crt".to_owned()];
    wanted.sort();
    assert_eq!(left, wanted);
    assert_eq!(bench.calls(), "update-ca-certificates --fresh\n");
    let again = bench.go(Store::System, Direction::Uninstall).unwrap();
    assert!(again.starts_with("nothing to do"), "{again}");
}

#[test]
fn an_operators_root_that_somebody_else_put_there_stays() {
    let bench = Bench::new();
    let anchors = bench.dir(DEBIAN);
    bench.tool("update-ca-certificates", "");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    fs::write(bench.path("home/ca.pem"), root.pem()).unwrap();
    fs::write(anchors.join("corp.crt"), root.pem()).unwrap();
    let said = bench.go(Store::System, Direction::Uninstall).unwrap();
    assert!(said.starts_with("nothing to do"), "{said}");
    let ours = anchors.join(format!("{}.crt", alias(root.der())));
    fs::write(&ours, root.pem()).unwrap();
    bench.go(Store::System, Direction::Uninstall).unwrap();
    assert!(!ours.exists());
    assert!(anchors.join("corp.crt").exists());
}

#[test]
fn a_fedora_store_is_known_by_its_directory() {
    let bench = Bench::new();
    let anchors = bench.dir("root/etc/pki/ca-trust/source/anchors");
    bench.tool("update-ca-trust", "");
    bench.go(Store::System, Direction::Install).unwrap();
    assert_eq!(fs::read_dir(anchors).unwrap().count(), 1);
    assert_eq!(bench.calls(), "update-ca-trust extract\n");
}

#[test]
fn a_mac_is_asked_through_its_own_tool() {
    let mut bench = Bench::new();
    bench.machine.macos = true;
    bench.tool("security", "");
    bench.go(Store::System, Direction::Install).unwrap();
    let keychain = "root/Library/Keychains/System.keychain";
    assert_eq!(
        bench.calls(),
        format!(
            "security find-certificate -a -Z {keychain}\n\
             security add-trusted-cert -d -r trustRoot -k {keychain} home/ca.pem\n"
        )
    );
    let root = bench.authority.trusted().next().unwrap();
    let digits = certificates::fingerprint(root).replace(':', "");
    bench.tool("security", &format!("echo 'SHA-256 hash: {digits}'"));
    let again = bench.go(Store::System, Direction::Install).unwrap();
    assert!(again.starts_with("nothing to do"), "{again}");
    bench.calls();
    bench.go(Store::System, Direction::Uninstall).unwrap();
    let deletion = format!("security delete-certificate -t -Z {digits} {keychain}\n");
    assert!(bench.calls().ends_with(&deletion));
}

#[test]
fn every_nss_database_is_found_and_asked_before_it_is_changed() {
    let bench = Bench::new();
    for database in ["user/.pki/nssdb", "user/.mozilla/firefox/abc.default"] {
        fs::write(bench.dir(database).join("cert9.db"), "").unwrap();
    }
    bench.dir("user/.mozilla/firefox/Crash Reports");
    bench.tool("certutil", "case $1 in -L) exit 255;; esac");
    bench.go(Store::Nss, Direction::Install).unwrap();
    let [new, _] = bench.names();
    let calls = bench.calls();
    assert_eq!(calls.matches("-A ").count(), 2, "{calls}");
    let wanted = format!("certutil -A -t C,, -n {new} -i home/ca.pem -d sql:user/.pki/nssdb\n");
    assert!(calls.contains(&wanted), "{calls}");

    // Now they hold the first of ours, whatever they are asked for.
    bench.tool(
        "certutil",
        "case $1 in -L) /bin/cat \"$R/home/ca.pem\";; esac",
    );
    let again = bench.go(Store::Nss, Direction::Install).unwrap();
    assert!(again.starts_with("nothing to do"), "{again}");
    bench.calls();
    bench.go(Store::Nss, Direction::Uninstall).unwrap();
    let calls = bench.calls();
    assert!(
        calls.contains(&format!("certutil -D -n {new} -d sql:user/.mozilla")),
        "{calls}"
    );
}

#[test]
fn what_is_missing_is_named_with_the_way_to_get_it() {
    let bench = Bench::new();
    let said = |store| bench.go(store, Direction::Install).unwrap_err().to_string();
    assert!(said(Store::System).contains("/usr/local/share/ca-certificates"));
    assert!(said(Store::Nss).contains("libnss3-tools"));
    assert!(said(Store::Java).contains("lib/security/cacerts"));
    bench.dir(DEBIAN);
    assert!(said(Store::System).contains("install the package ca-certificates"));
    bench.tool("certutil", "");
    assert!(said(Store::Nss).contains(".pki/nssdb"));
}

#[test]
fn a_tool_that_fails_leaves_the_steps_to_take_by_hand() {
    let bench = Bench::new();
    bench.dir(DEBIAN);
    bench.tool("update-ca-certificates", "echo 'no rights' >&2; exit 3");
    let error = bench.go(Store::System, Direction::Install).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("(no rights)"), "{text}");
    assert!(text.contains("by hand: sudo "), "{text}");
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_the_steps_to_take_by_hand() {
    let bench = Bench::new();
    bench.tool("update-ca-certificates", "");
    let [new, _] = bench.names();
    bench.dir(&format!("{DEBIAN}/{new}.crt/in the way"));
    let text = bench
        .go(Store::System, Direction::Install)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains(&format!(
            "{new}.crt; to do it by hand: sudo install -m 0644 "
        )),
        "{text}"
    );
    assert!(text.ends_with("/update-ca-certificates"), "{text}");
    assert_eq!(bench.calls(), "");
}

#[test]
fn nothing_happens_unless_somebody_says_yes() {
    let bench = Bench::new();
    let anchors = bench.dir(DEBIAN);
    bench.tool("update-ca-certificates", "");
    let install =
        |terminal, answer| bench.ask(Store::System, Direction::Install, false, terminal, answer);
    let (result, said) = install(false, "y\n");
    assert!(matches!(result, Err(InstallError::NobodyToAsk)));
    assert!(
        said.contains("This will be done:\n  install -m 0644 "),
        "{said}"
    );
    for answer in ["\n", "", "n\n", "yess\n"] {
        let (result, said) = install(true, answer);
        assert!(matches!(result, Err(InstallError::Declined)), "{answer:?}");
        assert!(said.ends_with("Go on? [y/N] "), "{said}");
    }
    assert_eq!(fs::read_dir(&anchors).unwrap().count(), 0);
    assert_eq!(bench.calls(), "");
    install(true, "y\n").0.unwrap();
    assert_eq!(fs::read_dir(&anchors).unwrap().count(), 1);
}

/// The one store whose real tool can be pointed at a file of the test's own.
#[test]
fn a_real_java_store_takes_the_root_and_gives_it_back() {
    let bench = Bench::new();
    let Some(keytool) = Machine::this().tool("keytool") else {
        // No Java here: the tests of what is exported hold without it.
        return;
    };
    let bin = bench.dir("jdk/bin");
    let security = bench.dir("jdk/lib/security");
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin exec '{}' \"$@\"\n",
        keytool.display()
    );
    fs::write(bin.join("keytool"), script).unwrap();
    fs::set_permissions(bin.join("keytool"), fs::Permissions::from_mode(0o755)).unwrap();
    let export = super::super::export::truststore(&bench.authority, "changeit").unwrap();
    fs::write(security.join("cacerts"), export).unwrap();
    // A store as we export it holds the root already.
    let said = bench.go(Store::Java, Direction::Install).unwrap();
    assert!(said.starts_with("nothing to do"), "{said}");
    let said = bench.go(Store::Java, Direction::Uninstall).unwrap();
    assert_eq!(said.matches(" -delete ").count(), 2, "{said}");
    let said = bench.go(Store::Java, Direction::Install).unwrap();
    assert_eq!(said.matches(" -importcert ").count(), 1, "{said}");
    let said = bench.go(Store::Java, Direction::Install).unwrap();
    assert!(said.starts_with("nothing to do"), "{said}");
}
