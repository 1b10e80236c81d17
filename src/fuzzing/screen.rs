//! `tollgate show`: a stored body on a terminal, which nothing in it may drive.

use super::parts;
use crate::aws::inert::is_harmful;
use crate::cli::show::body;

/// A head and a body as the ledger holds them, perhaps cut.
pub(super) fn screen(data: &[u8]) {
    let [head, content] = parts(data);
    for truncated in [false, true] {
        let mut out = Vec::new();
        body::write(&mut out, head, content, truncated).unwrap();
        let out = String::from_utf8(out).expect("text is shown");
        let harm = out
            .chars()
            .find(|&c| !matches!(c, '\n' | '\t') && is_harmful(c));
        assert_eq!(harm, None, "{out:?}");
    }
}
