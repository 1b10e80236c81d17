//! Which gate serves a home: a file in it that the gate holds locked for as long as it runs.
//!
//! The lock is the operating system's, so it ends with the process however that ends; the address in the file means
//! something only while it is locked. Two gates may share a home; the first of them is the one that is found.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::{ownership, private_file};

/// The file's name in the home directory.
pub const FILE_NAME: &str = "gate.lock";

/// Where a running gate can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Its client port.
    pub listen: SocketAddr,
    /// Its admin port, if it has one.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// Whether it asks clients who they are.
    #[serde(default)]
    pub asks: bool,
}

/// Held by the gate that is found; gives the home free when it is dropped.
#[derive(Debug)]
pub struct Claim {
    _locked: File,
}

impl Claim {
    /// Claims `home` for the gate at `listen`, whose admin port is `admin`, and which `asks` clients who they are; `None`
    /// when another gate has it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn take(
        home: &Path,
        listen: SocketAddr,
        admin: Option<SocketAddr>,
        asks: bool,
    ) -> io::Result<Option<Self>> {
        let mut file = open(home)?;
        if !lock(&file)? {
            return Ok(None);
        }
        let running = Running {
            pid: std::process::id(),
            listen,
            admin,
            asks,
        };
        file.set_len(0)?;
        file.rewind()?;
        serde_json::to_writer(&mut file, &running)?;
        file.flush()?;
        Ok(Some(Self { _locked: file }))
    }
}

/// The gate that serves `home` now, if there is one.
///
/// # Errors
/// When the file cannot be read, or is another user's.
pub fn find(home: &Path) -> io::Result<Option<Running>> {
    let path = home.join(FILE_NAME);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let why = format!("{} cannot be read: {error}", path.display());
            return Err(io::Error::new(error.kind(), why));
        }
    };
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Programs are sent where this file says.
    if ownership::is_foreign(&file.metadata()?) {
        let why = format!("{} was put there by another user", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    // Between its lock and its words a gate is only starting.
    Ok(serde_json::from_str(&text).ok())
}

/// Whether the file is locked for us now. Whoever only looks for a gate holds it for a moment, too, and shares it.
fn lock(file: &File) -> io::Result<bool> {
    for _ in 0..MAX_LOOKERS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match file.try_lock_shared() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        thread::sleep(MOMENT);
    }
    Ok(false)
}

/// How often somebody may be looking when we want the lock, and how long that takes.
const MAX_LOOKERS: usize = 500;
const MOMENT: Duration = Duration::from_millis(2);

fn open(home: &Path) -> io::Result<File> {
    private_file::own_file().open(home.join(FILE_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_found_while_it_holds_the_home() {
        let home = tempfile::tempdir().unwrap();
        let address: SocketAddr = "127.0.0.1:5380".parse().unwrap();
        assert_eq!(find(home.path()).unwrap(), None);
        let claim = Claim::take(home.path(), address, Some(address), true)
            .unwrap()
            .unwrap();
        assert!(
            Claim::take(home.path(), address, None, false)
                .unwrap()
                .is_none()
        );
        let found = find(home.path()).unwrap().unwrap();
        assert_eq!((found.listen, found.admin), (address, Some(address)));
        assert_eq!(found.pid, std::process::id());
        drop(claim);
        assert_eq!(find(home.path()).unwrap(), None);
        let shorter = "[::1]:1".parse().unwrap();
        let _claim = Claim::take(home.path(), shorter, None, false)
            .unwrap()
            .unwrap();
        assert_eq!(find(home.path()).unwrap().unwrap().listen, shorter);
    }

    #[test]
    fn whoever_looks_for_a_gate_does_not_keep_one_from_being_found() {
        let home = tempfile::tempdir().unwrap();
        let address: SocketAddr = "127.0.0.1:5380".parse().unwrap();
        let looking = open(home.path()).unwrap();
        looking.lock_shared().unwrap();
        let place = home.path().to_owned();
        let gate = thread::spawn(move || Claim::take(&place, address, None, false).unwrap());
        drop(looking);
        assert!(gate.join().unwrap().is_some());
    }
}
