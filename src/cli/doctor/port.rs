//! The client port: a gate of ours is there, nobody is, or somebody else, who is named where the system tells.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use super::finding::Finding;
use crate::config::Settings;
use crate::running::Running;

pub(super) fn check(settings: &Settings, running: Option<Running>) -> Finding {
    let listen = settings.listen;
    if let Some(gate) = running {
        let admin = gate
            .admin
            .map(|admin| format!(", its admin port is {admin}"));
        let text = format!(
            "a gate runs on this home at {} (process {}){}",
            gate.listen,
            gate.pid,
            admin.unwrap_or_default()
        );
        return if gate.listen == listen || listen.port() == 0 {
            Finding::ok("port", text)
        } else {
            let text = format!("{text}, while this configuration says {listen}");
            Finding::warn("port", text)
                .mend("start the gate again if the configuration was changed meanwhile")
        };
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(
            "port",
            format!("{listen} is free; no gate runs on this home"),
        ),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let holder = holder(listen, Path::new("/proc"));
            let holder = holder.unwrap_or_else(|| "another program".to_owned());
            Finding::fail("port", format!("{listen} is taken by {holder}"))
                .mend("stop it, or choose another port with --listen 127.0.0.1:PORT")
        }
        Err(error) => Finding::fail("port", format!("cannot listen on {listen}: {error}"))
            .mend("choose another address with --listen ADDR:PORT"),
    }
}

/// Who listens there, as far as /proc lets us see.
fn holder(address: SocketAddr, proc: &Path) -> Option<String> {
    let inode = ["net/tcp", "net/tcp6"].into_iter().find_map(|table| {
        let text = std::fs::read_to_string(proc.join(table)).ok()?;
        listening_inode(&text, address)
    })?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir(proc).ok()?.flatten() {
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let mut links = descriptors
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok());
        if links.any(|link| link.as_os_str() == wanted.as_str()) {
            let pid = process.file_name().to_string_lossy().into_owned();
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    Some("a program of another user".to_owned())
}

/// The socket that listens on `address`, or on all addresses and the same port, in a table as /proc/net/tcp is.
pub(super) fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (ip, port) = local.split_once(':')?;
        let ip = hexadecimal_address(ip)?;
        let same = state == LISTEN
            && u16::from_str_radix(port, 16).ok()? == address.port()
            && (ip == address.ip() || ip.is_unspecified());
        if same {
            fields.nth(5)?.parse().ok()
        } else {
            None
        }
    })
}

/// Words of four octets, each in the machine's order, as the kernel prints them.
fn hexadecimal_address(text: &str) -> Option<IpAddr> {
    let mut octets = Vec::with_capacity(16);
    for start in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(start..start + 8)?, 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    match octets.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
        16 => {
            let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?);
            Some(v6.to_canonical())
        }
        _ => None,
    }
}
