//! `tollgate serve`: start the gate, print where it is and what to paste, run until SIGINT or SIGTERM.
//!
//! SIGHUP ends it only where it says that the terminal is gone that it was started from; else the configuration is read
//! anew.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::service_manager::{self, ServiceManager};
use super::{Failure, dumps, say};
use crate::app::Gate;
use crate::app::reload::Reloading;
use crate::config::{self, HomeOption, Options, Settings};
use crate::net::descriptors;
use crate::telemetry;

/// Runs the gate to its end.
///
/// # Errors
/// A configuration that cannot be used, or a gate that cannot start.
pub fn run(options: &Options, home: &HomeOption) -> Result<(), Failure> {
    let loaded = config::load_all(options, home)?;
    let format = loaded.settings.log_format;
    let _flush = telemetry::install()?;
    descriptors::raise();
    dumps::refuse();
    to_the_end(async {
        let asked = Arc::new(Notify::new());
        let gate = Gate::start(loaded.settings.clone())
            .await?
            .reloading(Reloading {
                options: options.clone(),
                home: home.clone(),
                loaded,
                asked: Arc::clone(&asked),
                told: Box::new(service_manager::reloading),
            });
        // Whoever has read where it is may signal it.
        let (stop, at_once) = stop_signals(asked)?;
        let (address, admin) = (gate.address()?, gate.admin_address());
        say(format, &greeting(address, admin, gate.settings()));
        let manager = ServiceManager::ready(address);
        let stop = async {
            stop.await;
            manager.stopping();
        };
        gate.run(stop, at_once).await;
        Ok(())
    })
}

/// A runtime with one worker a core.
///
/// # Errors
/// When the operating system gives no threads.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// Runs `work` on a runtime of its own and waits for nothing else: a name that is being resolved
/// cannot be called off, and whoever waits for our end is not to wait for that.
///
/// # Errors
/// When the operating system gives no threads, and those of `work`.
pub(super) fn to_the_end<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// Resolve at the first and at the second SIGINT or SIGTERM. From now on SIGHUP notifies `asked`, unless it comes because
/// the terminal is gone, and a file that may not grow any further (SIGXFSZ) does not end the process.
///
/// # Errors
/// When a handler cannot be installed.
pub(super) fn stop_signals(
    asked: Arc<Notify>,
) -> std::io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let had_terminal = has_terminal();
    // A handler is all it takes for the write to fail instead, which the ledger knows how to live with.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
    let (count, first) = watch::channel(0_u32);
    let second = first.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {
                    if !had_terminal || has_terminal() {
                        asked.notify_one();
                        continue;
                    }
                }
            }
            count.send_modify(|count| *count += 1);
            if *count.borrow() == 1 {
                tracing::info!(
                    "stopping: no new requests are taken, running ones may finish; once more ends them"
                );
            }
        }
    });
    Ok((counted(first, 1), counted(second, 2)))
}

/// Whether anybody is there to read and to type. A terminal that was hung up is none any more.
fn has_terminal() -> bool {
    std::io::stdin().is_terminal()
        || std::io::stdout().is_terminal()
        || std::io::stderr().is_terminal()
}

async fn counted(mut signals: watch::Receiver<u32>, wanted: u32) {
    if signals.wait_for(|count| *count >= wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn greeting(address: SocketAddr, admin: Option<SocketAddr>, settings: &Settings) -> String {
    let home = settings.home.display();
    let user = match settings.policy.users {
        Some(_) => "USER:PASSWORD@",
        None => "",
    };
    let admin = match admin {
        Some(admin) => format!("http://{admin}/metrics, /healthz and /readyz"),
        None => "no admin port".to_owned(),
    };
    format!(
        "tollgate {} listens on {address}, plain and TLS\n\n\
         For the AWS CLI, boto3 and most others:\n  \
           export HTTPS_PROXY=http://{user}{address}\n  \
           export AWS_CA_BUNDLE={home}/bundle.pem\n\
         For Node.js:  export NODE_EXTRA_CA_CERTS={home}/ca.pem\n\
         For curl:     curl -x http://{user}{address} --cacert {home}/ca.pem …\n\
         One program:  tollgate run --home {home} -- COMMAND\n\
         A browser:    http://{address}/ has these lines and the certificate\n\
         Records:      tollgate log -f --home {home}\n\
         Operation:    {admin}\n",
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_end_does_not_wait_for_what_cannot_be_called_off() {
        let (go_on, wait) = mpsc::channel::<()>();
        let done = to_the_end(async {
            let (begun, running) = tokio::sync::oneshot::channel();
            // As a look-up of a name whose server does not answer.
            tokio::task::spawn_blocking(move || {
                begun.send(()).ok();
                wait.recv_timeout(Duration::from_secs(20))
            });
            running.await?;
            Ok("done")
        });
        assert_eq!(done.unwrap(), "done");
        assert!(go_on.send(()).is_ok(), "it was waited for");
    }
}
