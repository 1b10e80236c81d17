//! Files that nobody else may read, and the directory they lie in.
//!
//! A file is written beside its final name, flushed and renamed, so that a reader finds the old content or the new one
//! and never half of either. Directories are created 0700 and files 0600; a key that others can read is refused, as
//! ssh does. Where the platform has no such modes, its own defaults apply. What the files mean is left to the callers.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// More than any bundle of roots holds; a path that yields more than this is not a PEM file.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A file or directory that would not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Makes sure that the home directory exists and is ours.
///
/// A directory that is created here, or found empty, gets mode 0700. One that already holds something is left as it
/// is, because a mode somebody chose for other files is not ours to change; when others can look into it, the log says
/// how to close it.
///
/// # Errors
///
/// When the directory can neither be found nor created.
pub fn prepare_home(home: &Path) -> Result<(), FileError> {
    create_private_dir(home, true)
        .map_err(|source| FileError::new("create directory", home, source))?;
    let mut entries =
        fs::read_dir(home).map_err(|source| FileError::new("read directory", home, source))?;
    let empty = entries.next().is_none();
    if let Some(mode) = dir_open_to_others(home)
        && !(empty && close_dir(home).is_ok())
    {
        tracing::warn!(
            home = %home.display(),
            mode = %format_args!("{mode:04o}"),
            "others can look into the home directory; chmod 700 closes it"
        );
    }
    Ok(())
}

/// Creates one directory with mode 0700; with `recursive`, an existing one is fine and parents are created as well.
pub(crate) fn create_private_dir(path: &Path, recursive: bool) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes `contents` under `path` at once, mode 0600, and makes it survive a power cut.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let directory = path
            .parent()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // tempfile creates with mode 0600.
        let mut file = tempfile::Builder::new()
            .prefix(".tollgate-")
            .tempfile_in(directory)?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_dir(directory)
    };
    write().map_err(|source| FileError::new("write", path, source))
}

/// Writes only when the file does not already hold `contents`. Tells whether it wrote.
pub(crate) fn write_if_different(path: &Path, contents: &[u8]) -> Result<bool, FileError> {
    if fs::read(path).is_ok_and(|found| found == contents) {
        return Ok(false);
    }
    write_private(path, contents)?;
    Ok(true)
}

/// Makes renames inside `directory` survive a power cut. Windows has no such call and needs none.
pub(crate) fn sync_dir(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()
    } else {
        Ok(())
    }
}

/// Reads a whole file of reasonable size.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|source| FileError::new("read", path, source))?;
    read_opened(path, &file)
}

/// Reads a private key's file; `Err(Ok(mode))` when others may read it.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<u8>, Result<u32, FileError>> {
    let file = File::open(path).map_err(|source| Err(FileError::new("read", path, source)))?;
    // The mode of the opened file, not of the name: the two may differ by the time we look.
    if let Some(mode) =
        file_open_to_others(&file).map_err(|source| Err(FileError::new("read", path, source)))?
    {
        return Err(Ok(mode));
    }
    read_opened(path, &file).map_err(Err)
}

fn read_opened(path: &Path, file: &File) -> Result<Vec<u8>, FileError> {
    let mut contents = Vec::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents);
    read.and_then(|_| match u64::try_from(contents.len()) {
        Ok(len) if len <= MAX_FILE_BYTES => Ok(contents),
        _ => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
    })
    .map_err(|source| FileError::new("read", path, source))
}

#[cfg(unix)]
fn file_open_to_others(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn file_open_to_others(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(unix)]
fn dir_open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn dir_open_to_others(_: &Path) -> Option<u32> {
    None
}

#[cfg(unix)]
fn close_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn close_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
