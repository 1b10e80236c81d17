//! `tollgate demo`: a whole round with no AWS account.
//!
//! A gate with the built-in simulator as its upstream gets one sample call through every door; what was counted is read
//! back from the ledger and shown. Then it goes on serving, so that the printed lines can be pasted. `--once` stops
//! after the table and fails if anything is not as it should be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::oneshot;

use super::{Failure, dumps, say, serve};
use crate::app::Gate;
use crate::config::{self, HomeOption, Options, Settings};
use crate::ledger::query::{Query, Reader};
use crate::ledger::{FILE_NAME, QueryError, UsageRecord};
use crate::net::{descriptors, private_file};
use crate::simulator::client::{self, Door, SampleCall};
use crate::simulator::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Simulator, SimulatorOptions};
use crate::telemetry;

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Stop after the sample calls; the exit status says whether all went well
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    home: HomeOption,
    #[command(flatten)]
    options: Options,
}

/// Pause between the events of a simulated stream, so that a person sees it flow.
const PACE: Duration = Duration::from_millis(40);

/// What the demo cannot go on from.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("{failed} of {all} sample calls did not go as they should; the table above says which")]
    Samples { failed: usize, all: usize },
    #[error("there is no data directory for this user; say --home DIR")]
    NoHome,
    #[error(
        "the demo's own calls show no certificate; say --users, or nothing, instead of --client-ca"
    )]
    ClientCa,
    #[error("the gate ended before the demo did")]
    GateEnded,
}

/// Runs the demo.
///
/// # Errors
/// A gate or simulator that cannot start; with `--once`, a call that was not answered, verified and counted.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let settings = settings(args)?;
    descriptors::raise();
    dumps::refuse();
    serve::to_the_end(Box::pin(demonstrate(settings, args.once)))
}

fn settings(args: &DemoArgs) -> Result<Settings, Failure> {
    let mut settings = config::load(&args.options, &args.home)?;
    if settings.client_ca.is_some() {
        return Err(DemoError::ClientCa.into());
    }
    if args.home.home.is_none() {
        // Made-up calls do not belong among real ones.
        settings.home = dirs::data_dir()
            .ok_or(DemoError::NoHome)?
            .join("tollgate-demo");
    }
    if !settings.listen_is_explicit
        && (args.once || std::net::TcpListener::bind(settings.listen).is_err())
    {
        settings.listen.set_port(0);
    }
    if !settings.admin.is_explicit
        && let Some(address) = &mut settings.admin.address
        && (args.once || std::net::TcpListener::bind(*address).is_err())
    {
        address.set_port(0);
    }
    Ok(settings)
}

async fn demonstrate(mut settings: Settings, once: bool) -> Result<(), Failure> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let pace = if once { Duration::ZERO } else { PACE };
    let simulator = Simulator::start(SimulatorOptions {
        pace,
        ..SimulatorOptions::new(loopback)
    })
    .await?;
    private_file::prepare_home(&settings.home)?;
    let upstream_ca = settings.home.join("simulator-ca.pem");
    private_file::write_if_different(&upstream_ca, simulator.ca_pem().as_bytes())?;
    settings.upstream_ca.push(upstream_ca);
    settings.dial_intercepted = Some(simulator.addr());

    // The samples are sent before anybody is asked who they are, and held by no rule.
    let policy = settings.policy.clone();
    settings.policy.users = None;
    settings.policy.access = Arc::default();
    let gate = Gate::start(settings).await?;
    let current = gate.policy();
    let (address, admin) = (gate.address()?, gate.admin_address());
    let settings = gate.settings().clone();
    let format = settings.log_format;
    let (stop, stopped) = oneshot::channel::<()>();
    let (signalled, at_once) = serve::stop_signals(Arc::default())?;
    let serving = tokio::spawn(gate.run(
        async move {
            tokio::select! {
                _ = stopped => {}
                () = signalled => {}
            }
        },
        at_once,
    ));

    say(
        format,
        &format!(
            "tollgate {} listens on {address}; a simulated Bedrock Runtime stands behind it and verifies every signature.\n",
            env!("CARGO_PKG_VERSION")
        ),
    );
    let failed = send_samples(address, &settings, &simulator).await?;
    current.store(Arc::new(policy));
    let all = client::samples().len();
    if once {
        // The gate may have been stopped by a signal already.
        drop(stop);
        serving.await.map_err(|_| DemoError::GateEnded)?;
        return if failed == 0 {
            Ok(())
        } else {
            Err(DemoError::Samples { failed, all }.into())
        };
    }
    let _flush = telemetry::install()?;
    say(format, &lines_to_paste(address, admin, &settings));
    serving.await.map_err(|_| DemoError::GateEnded)?;
    drop(stop);
    Ok(())
}

/// Sends every sample, prints a row for each, and returns how many were not answered, verified and counted.
async fn send_samples(
    address: SocketAddr,
    settings: &Settings,
    simulator: &Simulator,
) -> Result<usize, Failure> {
    let format = settings.log_format;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(settings.home.join("ca.pem"))? {
        roots.add(certificate?)?;
    }
    let roots = Arc::new(roots);
    let ledger = Reader::open(&settings.home.join(FILE_NAME))?;
    let mut failed = 0;
    say(
        format,
        &row([
            "door",
            "operation",
            "model",
            "status",
            "in",
            "out",
            "cache r/w",
            "usd",
            "ms",
        ]),
    );
    for call in client::samples() {
        let before = ledger.last_seq()?;
        let answer = client::send(address, Arc::clone(&roots), &call).await;
        let record = record_of(&call, &ledger, before)?;
        match (&answer, record) {
            (Ok(answer), Some(record))
                if answer.status == 200 && record.usage.input_tokens.is_some() =>
            {
                say(format, &counted(&call, &record));
            }
            (Ok(answer), _) => {
                failed += 1;
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                say(
                    format,
                    &format!(
                        "{} failed with status {} or was not counted: {body}",
                        call.operation, answer.status
                    ),
                );
            }
            (Err(error), _) => {
                failed += 1;
                say(format, &format!("{} failed: {error}", call.operation));
            }
        }
    }
    let stats = simulator.stats();
    say(
        format,
        &format!(
            "\nSignatures verified by the simulator: {} accepted, {} refused.",
            stats.accepted, stats.refused
        ),
    );
    Ok(failed + usize::try_from(stats.refused).unwrap_or(usize::MAX))
}

/// The record of `call` among those after row `before`: somebody else may be using the gate already.
fn record_of(
    call: &SampleCall,
    ledger: &Reader,
    before: i64,
) -> Result<Option<UsageRecord>, QueryError> {
    for record in ledger.tail(&Query::default(), before)? {
        let record = record?;
        let is_its = record.operation.as_deref() == Some(call.operation)
            && record.model.as_deref().unwrap_or_default() == call.model;
        if is_its {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn counted(call: &SampleCall, record: &UsageRecord) -> String {
    let number =
        |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let usage = &record.usage;
    row([
        door(call.door),
        call.operation,
        call.model,
        &record
            .status
            .map_or_else(|| "-".to_owned(), |status| status.to_string()),
        &number(usage.input_tokens),
        &number(usage.output_tokens),
        &format!(
            "{}/{}",
            number(usage.cache_read_tokens),
            number(usage.cache_write_tokens)
        ),
        &record
            .cost
            .usd
            .map_or_else(|| "-".to_owned(), |usd| usd.to_string()),
        &format!("{:.1}", record.duration_ms),
    ])
}

fn row(
    [
        door,
        operation,
        model,
        status,
        input,
        output,
        cache,
        usd,
        ms,
    ]: [&str; 9],
) -> String {
    format!(
        "{door:<26} {operation:<30} {model:<44} {status:>6} {input:>5} {output:>5} {cache:>9} {usd:>11} {ms:>7}"
    )
}

fn door(door: Door) -> &'static str {
    match door {
        Door::ConnectPlain => "CONNECT",
        Door::ConnectTls => "CONNECT, TLS in TLS",
        Door::ForwardTls => "absolute-form, TLS",
        Door::ForwardPlain => "absolute-form, plain",
        Door::RoutePlain => "/service/standard/, plain",
        Door::RouteTls => "/service/standard/, TLS",
        Door::TransparentTls => "transparent, TLS",
    }
}

fn lines_to_paste(address: SocketAddr, admin: Option<SocketAddr>, settings: &Settings) -> String {
    let home = settings.home.display();
    let metrics = admin.map(|admin| format!("Metrics: http://{admin}/metrics\n"));
    let metrics = metrics.unwrap_or_default();
    format!(
        "Now yours. In another terminal, with these made-up credentials:\n\n  \
           export AWS_ACCESS_KEY_ID={ACCESS_KEY_ID} AWS_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}\n  \
           export AWS_DEFAULT_REGION=us-east-1 HTTPS_PROXY=http://{address} AWS_CA_BUNDLE={home}/bundle.pem\n\n\
         boto3:\n\n  \
           python3 -c \"import boto3; print(boto3.client('bedrock-runtime').converse(modelId='us.amazon.nova-lite-v1:0', \
         messages=[{{'role': 'user', 'content': [{{'text': 'hello'}}]}}])['usage'])\"\n\n\
         curl:\n\n  \
           curl -x http://{address} --cacert {home}/ca.pem --aws-sigv4 aws:amz:us-east-1:bedrock \
         --user \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\" -H 'content-type: application/json' \
         -d '{{\"inputText\": \"hello\"}}' \
         https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.titan-text-express-v1/invoke\n\n\
         Each call shows up below, and again with: tollgate log --home {home}\n\
         What they cost: tollgate stats --home {home}\n{metrics}"
    )
}
