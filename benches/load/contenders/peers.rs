//! Other proxies: how each is told to do what is compared, with nothing logged.
//!
//! HAProxy, nginx and mitmproxy are used if they are installed; hudsucker if its program has been built.

use std::fs;
use std::path::{Path, PathBuf};

use super::{LOG, Running, Stand, command, listening};
use crate::Failure;
use crate::machine;
use crate::messages::HOST;
use crate::process::{Process, free_port};

/// Looks a program up as a shell would, and where system programs live.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// HAProxy in mode http, as many threads as it may use cores.
pub(crate) fn haproxy(stand: &Stand<'_>) -> Result<Running, Failure> {
    let port = free_port()?;
    let identities = stand.identities;
    let configuration = format!(
        "global
    nbthread {threads}
    maxconn {connections}
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
frontend clients
    bind 127.0.0.1:{port} ssl crt {leaf} alpn http/1.1
    default_backend aws
backend aws
    http-reuse always
    server aws 127.0.0.1:{upstream} ssl verify required ca-file {ca} verifyhost {HOST} sni str({HOST})
",
        threads = stand.cores.count(),
        // It wants two files for each connection that it might ever have, or it does not start.
        connections = machine::file_limit().saturating_sub(200) / 2,
        leaf = identities.leaf_with_key.display(),
        ca = identities.ca.display(),
        upstream = stand.upstream,
    );
    let file = stand.directory.join("haproxy.cfg");
    fs::write(&file, configuration)?;
    let program = find("haproxy").ok_or("haproxy is not installed")?;
    let mut command = command(stand, &program);
    command.arg("-db").arg("-f").arg(&file);
    let process = Process::start(&mut command, stand.cores, &stand.directory.join(LOG))?;
    Ok(listening(process, port, &identities.ca))
}

/// nginx, as many workers as it may use cores, passing on what it reads at once.
pub(crate) fn nginx(stand: &Stand<'_>) -> Result<Running, Failure> {
    let port = free_port()?;
    let identities = stand.identities;
    let directory = stand.directory.display();
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let configuration = format!(
        "daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
worker_processes {workers};
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    keepalive_requests 100000000;
    upstream aws {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {leaf};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass https://aws;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection '';
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
            proxy_ssl_server_name on;
            proxy_ssl_name {HOST};
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {ca};
        }}
    }}
}}
",
        workers = stand.cores.count(),
        files = machine::file_limit(),
        upstream = stand.upstream,
        leaf = identities.leaf.display(),
        key = identities.key.display(),
        ca = identities.ca.display(),
    );
    let file = stand.directory.join("nginx.conf");
    fs::write(&file, configuration)?;
    let program = find("nginx").ok_or("nginx is not installed")?;
    let mut command = command(stand, &program);
    command
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(stand.directory.join("error.log"));
    let process = Process::start(&mut command, stand.cores, &stand.directory.join(LOG))?;
    Ok(listening(process, port, &identities.ca))
}

/// mitmdump, with large bodies streamed and a hook that leads the AWS name to our upstream.
pub(crate) fn mitmproxy(stand: &Stand<'_>, program: &Path) -> Result<Running, Failure> {
    let port = free_port()?;
    let home = stand.directory.join("mitmproxy");
    fs::create_dir_all(&home)?;
    fs::copy(&stand.identities.ca_with_key, home.join("mitmproxy-ca.pem"))?;
    let hook = stand.directory.join("redirect.py");
    // The name stays what it is, or mitmproxy would not find its own connections again.
    fs::write(
        &hook,
        format!(
            "import socket

real = socket.getaddrinfo


def led(host, port, *args, **kwargs):
    if host == \"{HOST}\":
        host, port = \"127.0.0.1\", {}
    return real(host, port, *args, **kwargs)


socket.getaddrinfo = led
",
            stand.upstream
        ),
    )?;
    let mut command = command(stand, program);
    command
        .arg("--quiet")
        .args(["--listen-host", "127.0.0.1", "--listen-port"])
        .arg(port.to_string())
        .arg("--set")
        .arg(format!("confdir={}", home.display()))
        .arg("--set")
        .arg(format!(
            "ssl_verify_upstream_trusted_ca={}",
            stand.identities.ca.display()
        ))
        .args(["--set", "connection_strategy=lazy"])
        .args(["--set", "stream_large_bodies=64k"])
        .args(["--set", "http2=false"])
        .arg("--scripts")
        .arg(&hook);
    let process = Process::start(&mut command, stand.cores, &stand.directory.join(LOG))?;
    Ok(listening(process, port, &stand.identities.ca))
}

/// The small program in `peers/hudsucker`.
pub(crate) fn hudsucker(stand: &Stand<'_>, program: &Path) -> Result<Running, Failure> {
    let port = free_port()?;
    let mut command = command(stand, program);
    command
        .arg(format!("127.0.0.1:{port}"))
        .arg(format!("127.0.0.1:{}", stand.upstream))
        .arg(&stand.identities.ca_with_key);
    let process = Process::start(&mut command, stand.cores, &stand.directory.join(LOG))?;
    Ok(listening(process, port, &stand.identities.ca))
}
