//! A file that is there whole or not at all, and that only its owner can read.
//!
//! It is written beside its place under a name of its own (mode 0600) and renamed when it is complete. What is there
//! already and is no regular file (a device, a pipe) is written to as it is.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::cli::terminal::{ReportError, until_pipe_closes};

/// Has `print` write the file at `path`.
pub(super) fn write(
    path: &Path,
    print: impl FnOnce(&mut BufWriter<&mut fs::File>) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let failed = |source: io::Error| ReportError::File {
        path: path.to_owned(),
        source,
    };
    let is_special = fs::metadata(path).is_ok_and(|there| !there.is_file());
    if is_special {
        let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        return until_pipe_closes(fill(&mut file, print));
    }
    // Behind a link is what is meant by it.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = place
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let mut file = NamedTempFile::with_prefix_in(".tollgate-export-", directory).map_err(failed)?;
    fill(file.as_file_mut(), print)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&place).map_err(|error| failed(error.error))?;
    Ok(())
}

fn fill(
    file: &mut fs::File,
    print: impl FnOnce(&mut BufWriter<&mut fs::File>) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let mut out = BufWriter::new(file);
    print(&mut out)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.csv");
        let error = write(&path, |out| {
            out.write_all(b"half")?;
            Err(ReportError::NoPayloads)
        });
        assert!(error.is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        fs::write(&path, b"before").unwrap();
        write(&path, |out| Ok(out.write_all(b"whole")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let link = directory.path().join("link.csv");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            write(&link, |out| Ok(out.write_all(b"linked")?)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"linked");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none").join("out.csv");
        let error = write(&path, |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("out.csv"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_stays_what_it_is() {
        write(Path::new("/dev/null"), |out| Ok(out.write_all(b"gone")?)).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
