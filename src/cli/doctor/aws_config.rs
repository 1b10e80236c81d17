//! `~/.aws/config`: `ca_bundle` and `endpoint_url`, which SDKs read where no variable says otherwise.
//!
//! The proxy settings of boto3 are none of its keys: they are in programs, where nobody can see them from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::{Held, Ours, endpoint};
use super::finding::Finding;

/// A key and its value in the profile that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
}

pub(super) fn check(
    variables: &BTreeMap<String, String>,
    user_home: Option<&Path>,
    ours: &Ours,
    holds: &dyn Fn(&Path) -> Held,
) -> Vec<Finding> {
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let file = match (variable("AWS_CONFIG_FILE"), user_home) {
        (Some(file), _) => PathBuf::from(file),
        (None, Some(home)) => home.join(".aws/config"),
        (None, None) => return Vec::new(),
    };
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Vec::new();
    };
    let profile = variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE"));
    let settings = settings(&text, profile.map_or("default", String::as_str));
    let name = |key: &str| format!("{key} in {}", file.display());
    let mut findings = Vec::new();
    for Setting { key, value } in settings {
        let finding = match key.as_str() {
            "ca_bundle" if variable("AWS_CA_BUNDLE").is_none() => {
                let name = name("ca_bundle");
                match holds(Path::new(&value)) {
                    Held::OursAndOthers | Held::OursAlone | Held::Unknown => continue,
                    Held::Missing => {
                        Finding::fail("trust", format!("{name} is {value}, which cannot be read"))
                    }
                    Held::Others => Finding::warn(
                        "trust",
                        format!("{name} is {value}, which does not hold the gate's root"),
                    ),
                }
                .mend(format!("export AWS_CA_BUNDLE='{}'", ours.bundle.display()))
            }
            "endpoint_url" => endpoint(&name("endpoint_url"), &value, ours)
                .mend("export AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"),
            _ => continue,
        };
        findings.push(finding);
    }
    findings
}

/// The settings of a profile. What is indented belongs to the key before it and is left out.
pub(super) fn settings(text: &str, profile: &str) -> Vec<Setting> {
    let mut inside = false;
    let mut settings = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = trimmed.strip_prefix('[') {
            let section = section.split(']').next().unwrap_or_default().trim();
            let name = section.strip_prefix("profile").map_or(section, str::trim);
            inside = name == profile;
        } else if let (true, false, Some((key, value))) = (
            inside,
            line.starts_with([' ', '\t']),
            trimmed.split_once('='),
        ) {
            settings.push(Setting {
                key: key.trim().to_ascii_lowercase(),
                value: value.trim().to_owned(),
            });
        }
    }
    settings
}
