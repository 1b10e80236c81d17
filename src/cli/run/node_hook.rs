//! The preload that leads the AWS SDK for JavaScript v3 through the gate: a file of the run, named in `NODE_OPTIONS`.
//!
//! The SDK's Bedrock clients speak HTTP/2 by default, sign for it, and heed no proxy setting. The preload gives them the
//! SDK's own HTTP/1.1 handler before anything is signed, and opens every HTTPS connection to a Bedrock host by CONNECT.
//! What it does in the program is in `node_hook.cjs`; here it is written and named.

use std::ffi::OsString;
use std::path::Path;

use crate::net::private_file::{self, FileError};

const FILE_NAME: &str = "node-hook.cjs";

const HOOK: &str = include_str!("node_hook.cjs");

/// Writes the preload into `directory`; gives `NODE_OPTIONS` with it before what the user has there.
pub(super) fn install(directory: &Path, user: Option<OsString>) -> Result<OsString, FileError> {
    let path = directory.join(FILE_NAME);
    private_file::write_if_different(&path, HOOK.as_bytes())?;
    let mut options = OsString::from("--require ");
    options.push(quoted(&path));
    if let Some(user) = user.filter(|user| !user.is_empty()) {
        options.push(" ");
        options.push(user);
    }
    Ok(options)
}

/// A word as Node.js reads it in `NODE_OPTIONS`: in double quotes, where a backslash escapes.
fn quoted(path: &Path) -> OsString {
    let text = path.to_string_lossy();
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{escaped}\"").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_options_stay_behind_ours() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("it's \"my\" place");
        std::fs::create_dir(&directory).unwrap();
        let options = install(&directory, Some("--max-old-space-size=64".into())).unwrap();
        let options = options.to_str().unwrap();
        assert!(options.starts_with("--require \"/"), "{options}");
        assert!(
            options.ends_with("/it's \\\"my\\\" place/node-hook.cjs\" --max-old-space-size=64")
        );
        assert_eq!(
            install(&directory, None).unwrap(),
            *options.rsplit_once(' ').unwrap().0
        );
        let written = std::fs::read_to_string(directory.join(FILE_NAME)).unwrap();
        assert_eq!(written, HOOK);
    }
}
