//! Files that nobody else may read, and the directory they lie in.
//!
//! A file is written beside its final name, flushed and renamed, so that a reader finds the old content or the new one
//! and never half of either. Directories are created 0700 and files 0600; a key that others can read is refused, as
//! ssh does. Where the platform has no such modes, its own defaults apply. What the files mean is left to the callers.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ownership;

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
/// how to close it. One that another user owns or can write to is not used.
///
/// # Errors
///
/// When the directory can neither be found nor created, or is not ours.
pub fn prepare_home(home: &Path) -> Result<(), FileError> {
    create_private_dir(home, true)
        .map_err(|source| FileError::new("create directory", home, source))?;
    let mut entries =
        fs::read_dir(home).map_err(|source| FileError::new("read directory", home, source))?;
    let empty = entries.next().is_none();
    if empty && dir_open_to_others(home).is_some() {
        // Not ours to close, perhaps; then what follows says so.
        close_dir(home).ok();
    }
    check_home(home)?;
    if let Some(mode) = dir_open_to_others(home) {
        tracing::warn!(
            home = %home.display(),
            mode = %format_args!("{mode:04o}"),
            "others can look into the home directory; chmod 700 closes it"
        );
    }
    Ok(())
}

/// Makes sure that `home`, which exists, is nobody else's.
///
/// # Errors
///
/// When another user owns it, can write to it or has put something there.
pub fn check_home(home: &Path) -> Result<(), FileError> {
    let found =
        ownership::look(home).map_err(|source| FileError::new("read directory", home, source))?;
    match found {
        None => Ok(()),
        Some(found) if found.tolerated => {
            tracing::warn!(home = %home.display(), "the home directory is not safe: {}", found.why);
            Ok(())
        }
        Some(found) => Err(FileError::new("use", home, io::Error::other(found.why))),
    }
}

/// How a file is opened that we write to under its own name: made if there is none, for us alone, and never behind a
/// link.
pub(crate) fn own_file() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
        if let Ok(flags) = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()) {
            options.custom_flags(flags);
        }
    }
    options
}

/// Creates one directory with mode 0700; with `recursive`, an existing one is fine and parents are created as well.
pub(crate) fn create_private_dir(path: &Path, recursive: bool) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Creates a directory with mode 0700 among the temporary ones. It is gone with what is in it when it is dropped.
pub(crate) fn temporary_dir(prefix: &str) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    // Left to itself, it would leave this to the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir()
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
    read_opened(path, &file).map(|mut contents| std::mem::take(&mut *contents))
}

/// Reads a private key's file; `Err(Ok(mode))` when others may read it. What was read leaves memory when it is dropped.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Result<u32, FileError>> {
    let file = File::open(path).map_err(|source| Err(FileError::new("read", path, source)))?;
    // The mode of the opened file, not of the name: the two may differ by the time we look.
    if let Some(mode) =
        file_open_to_others(&file).map_err(|source| Err(FileError::new("read", path, source)))?
    {
        return Err(Ok(mode));
    }
    read_opened(path, &file).map_err(Err)
}

fn read_opened(path: &Path, file: &File) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let length = usize::try_from(length.min(MAX_FILE_BYTES)).unwrap_or_default();
    // Never grown, which would leave copies behind; the one octet more is what the end is noticed by.
    let mut contents = Zeroizing::new(Vec::with_capacity(length + 1));
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

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// How often `needle`, each octet flipped, stands in the heap of this process.
    fn times_in_memory(flipped: &[u8]) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = File::open("/proc/self/mem").unwrap();
        // Allocated when the list of what is looked at is made, and emptied, so that what was looked at is not found again.
        let mut window = vec![0; 4 << 20];
        let mut times = 0;
        for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let [mut from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            while from < to {
                let length = (to - from).min(window.len() as u64);
                let part = &mut window[..usize::try_from(length).unwrap()];
                let read = memory
                    .seek(SeekFrom::Start(from))
                    .and_then(|_| memory.read_exact(part));
                // What goes away while we look holds nothing.
                if read.is_ok() {
                    times += memchr::memchr_iter(flipped[0] ^ 0xff, part)
                        .filter_map(|at| part.get(at..at + flipped.len()))
                        .filter(|found| found.iter().zip(flipped).all(|(a, b)| a ^ b == 0xff))
                        .count();
                }
                from += length.saturating_sub(flipped.len() as u64).max(1);
                if length < window.len() as u64 {
                    break;
                }
            }
        }
        window.fill(0);
        times
    }

    #[test]
    fn a_key_that_was_read_is_gone_from_memory_when_it_is_dropped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
        // Nowhere in memory but where it was read to: it is only ever put together in pieces.
        let flipped: Vec<u8> = (0..=255_u8)
            .map(|octet| octet.wrapping_mul(167) ^ 0x5a)
            .collect();
        for octet in &flipped {
            file.as_file().write_all(&[octet ^ 0xff]).unwrap();
        }
        let read = read_secret(file.path()).unwrap();
        assert_eq!(read.len(), flipped.len());
        assert!(
            times_in_memory(&flipped) > 0,
            "it is found while it is there"
        );
        drop(read);
        assert_eq!(times_in_memory(&flipped), 0);
    }

    #[test]
    fn a_directory_is_its_owners_alone_from_the_first_moment() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("of/a/home");
        create_private_dir(&path, true).unwrap();
        for made in [path.as_path(), path.parent().unwrap()] {
            let mode = fs::metadata(made).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", made.display());
        }
    }
}
