//! How to ask each family of runtimes whether it trusts a certificate.
//!
//! A runtime is known by the name of its program. What is run is the user's own command up to that name, followed by a
//! small program of ours or by arguments; it talks to one port on loopback and to nothing else. Which variable mends
//! what is not trusted comes from what each library reads.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A family of runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Python,
    Node,
    Java,
    Curl,
    OpenSsl,
}

/// What people may name, for messages.
pub(super) const KNOWN: &str = "python, node, java, curl, openssl";

/// What a probe says about one library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) library: String,
    pub(super) trusted: bool,
    /// Why not, in the library's words.
    pub(super) detail: Option<String>,
}

impl Family {
    /// The family of a program, by its name: `python3.12` is Python.
    pub(super) fn of(program: &str) -> Option<Self> {
        let name = Path::new(program)
            .file_name()?
            .to_str()?
            .to_ascii_lowercase();
        let name = name.strip_suffix(".exe").unwrap_or(&name);
        let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        Some(match bare {
            "python" | "pypy" => Self::Python,
            "node" | "nodejs" => Self::Node,
            "java" => Self::Java,
            "curl" => Self::Curl,
            "openssl" => Self::OpenSsl,
            _ => return None,
        })
    }

    /// The program to put beside the command, if it takes one: name and text.
    pub(super) fn program(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Python => ("probe.py", include_str!("probes/probe.py")),
            Self::Node => ("probe.cjs", include_str!("probes/probe.cjs")),
            Self::Java => ("Probe.java", include_str!("probes/Probe.java")),
            Self::Curl | Self::OpenSsl => return None,
        })
    }

    /// What follows the command.
    pub(super) fn arguments(self, program: Option<&Path>, host: &str, port: u16) -> Vec<OsString> {
        let port = port.to_string();
        let words: Vec<String> = match self {
            Self::Python | Self::Node | Self::Java => vec![host.to_owned(), port],
            Self::Curl => {
                let lead = format!("{host}:443:127.0.0.1:{port}");
                let url = format!("https://{host}/");
                let fixed = [
                    "-sS",
                    "--noproxy",
                    "*",
                    "--max-time",
                    "10",
                    "-o",
                    "/dev/null",
                ];
                let fixed = fixed.map(str::to_owned).into_iter();
                fixed
                    .chain(["--connect-to".to_owned(), lead, url])
                    .collect()
            }
            Self::OpenSsl => {
                let to = format!("127.0.0.1:{port}");
                ["s_client", "-verify_return_error", "-connect", &to]
                    .into_iter()
                    .chain(["-servername", host, "-verify_hostname", host])
                    .map(str::to_owned)
                    .collect()
            }
        };
        let program = program.map(|program| program.as_os_str().to_owned());
        let words = words.into_iter().map(OsString::from);
        program.into_iter().chain(words).collect()
    }

    /// What the end of the command means: programs of ours say it line by line, others by their status.
    pub(super) fn verdicts(self, success: bool, stdout: &str, stderr: &str) -> Vec<Verdict> {
        let name = match self {
            Self::Python | Self::Node | Self::Java => {
                let lines = stdout.lines();
                return lines
                    .filter_map(|line| serde_json::from_str(line).ok())
                    .collect();
            }
            Self::Curl => "curl",
            Self::OpenSsl => "openssl",
        };
        let mut said = stderr.lines().map(str::trim);
        let telling = ["verify error", "curl: ("];
        let detail = said
            .clone()
            .find(|line| telling.iter().any(|word| line.contains(word)))
            .or_else(|| said.rfind(|line| !line.is_empty()));
        vec![Verdict {
            library: name.to_owned(),
            trusted: success,
            detail: detail.filter(|_| !success).map(str::to_owned),
        }]
    }
}

/// What makes a library trust us, as a line to paste.
pub(super) fn mend(library: &str, ca: &Path, bundle: &Path) -> String {
    let (ca, bundle) = (ca.display(), bundle.display());
    match library {
        "ssl" => format!("export SSL_CERT_FILE='{bundle}'"),
        "botocore" => format!("export AWS_CA_BUNDLE='{bundle}'"),
        "requests" => format!("export REQUESTS_CA_BUNDLE='{bundle}'"),
        "httpx" => format!("export SSL_CERT_FILE='{bundle}'"),
        "https" => format!("export NODE_EXTRA_CA_CERTS='{ca}'"),
        "curl" => format!("export CURL_CA_BUNDLE='{bundle}'   (or curl --cacert '{ca}')"),
        "openssl" => format!("export SSL_CERT_FILE='{bundle}'   (or -CAfile '{ca}')"),
        _ => "tollgate ca install --java   (or: tollgate ca export --format p12 -o trust.p12, and \
              -Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit)"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_known_by_their_names() {
        let rows = [
            ("python3", Some(Family::Python)),
            ("/usr/bin/python3.12", Some(Family::Python)),
            ("pypy3", Some(Family::Python)),
            ("node", Some(Family::Node)),
            ("/opt/node-v20/bin/nodejs", Some(Family::Node)),
            ("java", Some(Family::Java)),
            ("curl", Some(Family::Curl)),
            ("openssl", Some(Family::OpenSsl)),
            ("ruby", None),
            ("javac", None),
            ("", None),
            ("..", None),
        ];
        for (program, family) in rows {
            assert_eq!(Family::of(program), family, "{program}");
        }
    }

    #[test]
    fn the_end_of_a_command_is_read_as_each_family_says_it() {
        let said = "noise\n{\"library\":\"ssl\",\"trusted\":false,\"detail\":\"x\"}\n";
        let [verdict] = &Family::Python.verdicts(true, said, "")[..] else {
            panic!("one library");
        };
        assert_eq!((verdict.library.as_str(), verdict.trusted), ("ssl", false));
        assert!(Family::Node.verdicts(false, "", "crashed").is_empty());
        let [verdict] = &Family::Curl.verdicts(false, "", "curl: (60) SSL\nMore\n")[..] else {
            panic!("one library");
        };
        assert_eq!(verdict.detail.as_deref(), Some("curl: (60) SSL"));
        assert!(Family::OpenSsl.verdicts(true, "", "depth=1")[0].trusted);
    }
}
