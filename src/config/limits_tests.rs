//! What limits are by default, what they may be, and what the machine allows.

use std::path::PathBuf;

use clap::Args;

use super::*;
use crate::config::Settings;

fn settings(file: &str) -> Result<Settings, ConfigError> {
    Settings::from_options(toml::from_str(file).unwrap(), PathBuf::from("/home"), None)
}

/// Every limit: its option, and what stands for its default in `--help` and in the table of docs/configuration.md.
const LIMITS: [(&str, &str); 17] = [
    ("max-connections", ""),
    ("max-connections-per-client", ""),
    ("max-head-bytes", "65536"),
    ("max-field-lines", "128"),
    ("max-certificates", "512"),
    ("max-mints", "half of the cores"),
    ("max-payload-memory", "25165824"),
    ("head-timeout", "30s"),
    ("idle-timeout", "5m"),
    ("tls-timeout", "15s"),
    ("connect-timeout", "10s"),
    ("body-timeout", "2m"),
    ("response-timeout", "1h"),
    ("stream-timeout", "1h"),
    ("tunnel-timeout", "1h"),
    ("pool-timeout", "30s"),
    ("stop-timeout", "30s"),
];

#[test]
fn the_documented_defaults_are_the_defaults() {
    let page = include_str!("../../docs/configuration.md");
    let command = Options::augment_args(clap::Command::new("tollgate"));
    let bare = settings("").unwrap();
    assert_eq!(
        (bare.limits, bare.timeouts),
        (Limits::default(), Timeouts::default())
    );
    for (option, default) in LIMITS {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `--{option} ")));
        let row = row.unwrap_or_else(|| panic!("--{option} has no row of its own"));
        assert!(row.contains(default), "{row}");
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(option))
            .unwrap();
        let help = argument.get_help().unwrap().to_string();
        assert!(help.contains(&format!("[default: {default}")), "{help}");
        let key = option.replace('-', "_");
        let line = match default.parse::<u64>() {
            Ok(count) => format!("{key} = {count}"),
            Err(_) if option.ends_with("-timeout") => format!("{key} = \"{default}\""),
            Err(_) => continue,
        };
        let written = settings(&line).unwrap();
        assert_eq!(
            (written.limits, written.timeouts),
            (bare.limits, bare.timeouts),
            "{line}"
        );
    }
}

#[test]
fn every_limit_can_be_set() {
    let numbers: String = LIMITS
        .iter()
        .filter(|(option, _)| option.starts_with("max-"))
        .zip([40, 20, 8192, 64, 16, 3, 4_194_304])
        .map(|((option, _), value)| format!("{} = {value}\n", option.replace('-', "_")))
        .collect();
    let spans: String = LIMITS
        .iter()
        .filter(|(option, _)| option.ends_with("-timeout"))
        .zip(2..)
        .map(|((option, _), value)| format!("{} = \"{value}s\"\n", option.replace('-', "_")))
        .collect();
    let Settings {
        limits, timeouts, ..
    } = settings(&format!("{numbers}{spans}")).unwrap();
    assert_eq!(
        limits,
        Limits {
            head: HeadLimits {
                bytes: 8192,
                field_lines: 64
            },
            connections: Some(40),
            connections_per_client: Some(20),
            certificates: 16,
            mints: 3,
            payload_memory: 4_194_304,
        }
    );
    let seconds = Duration::from_secs;
    assert_eq!(
        timeouts,
        Timeouts {
            head: seconds(2),
            idle: seconds(3),
            handshake: seconds(4),
            connect: seconds(5),
            body: seconds(6),
            response: seconds(7),
            stream: seconds(8),
            tunnel: seconds(9),
            pool_idle: seconds(10),
            stop: seconds(11),
        }
    );
}

#[test]
fn a_limit_that_makes_no_sense_is_refused_with_what_to_give() {
    for (option, _) in LIMITS {
        let key = option.replace('-', "_");
        let wrong: &[&str] = if option.starts_with("max-") {
            &["0", "18446744073709"]
        } else {
            &["\"0s\"", "\"2d\"", "\"30\"", "\"soon\"", "\"-5s\"", "\"\""]
        };
        for value in wrong {
            let message = settings(&format!("{key} = {value}"))
                .unwrap_err()
                .to_string();
            let found = value.trim_matches('"');
            assert!(message.contains(&format!("`{option}`")), "{message}");
            assert!(message.contains(found), "{message}");
            assert!(
                message.contains("give a number") && message.contains("such as "),
                "{message}"
            );
        }
    }
    let rows = [
        ("max_head_bytes = 4095", "from 4096 to 262144"),
        ("max_field_lines = 257", "from 32 to 256"),
        ("max_certificates = 1", "from 2 to 4096"),
        (
            "max_connections = 10\nmax_connections_per_client = 11",
            "give 10 or less",
        ),
        ("idle_timeout = \"52w\"", "from 1s to 1d, such as 5m"),
    ];
    for (file, want) in rows {
        let message = settings(file).unwrap_err().to_string();
        assert!(message.contains(want), "{file}: {message}");
    }
}

#[test]
fn times_are_written_as_for_retention() {
    let rows = [("90s", 90), ("3m", 180), (" 2h ", 7200), ("1d", 86400)];
    for (text, seconds) in rows {
        let timeouts = settings(&format!("idle_timeout = \"{text}\""))
            .unwrap()
            .timeouts;
        assert_eq!(timeouts.idle, Duration::from_secs(seconds), "{text}");
    }
    let rows = [(90, "90s"), (120, "2m"), (3600, "1h"), (86400, "24h")];
    for (seconds, text) in rows {
        assert_eq!(written(Duration::from_secs(seconds)), text);
    }
}

#[test]
fn the_descriptors_say_how_many_connections_there_are_by_default() {
    let loopback = "127.0.0.1".parse().unwrap();
    let rows = [
        (Some(64), 8),
        (Some(256), 57),
        (Some(1024), 398),
        (Some(4096), 1856),
        (Some(1_048_576), 4096),
        (None, 4096),
    ];
    for (descriptors, connections) in rows {
        let capacity = Limits::default().capacity(loopback, descriptors);
        assert_eq!(capacity.connections, connections, "{descriptors:?}");
        let enough = descriptors.is_none_or(|all| descriptors_for(connections) <= all);
        assert_eq!(capacity.shortfall().is_none(), enough, "{descriptors:?}");
    }
    // Not one more would have fitted.
    assert!(descriptors_for(399) > 1024);
}

#[test]
fn a_maximum_that_cannot_be_reached_is_said_with_what_can() {
    let limits = Limits {
        connections: Some(1000),
        ..Limits::default()
    };
    let loopback = "::1".parse().unwrap();
    let shortfall = limits.capacity(loopback, Some(1024)).shortfall().unwrap();
    let said = shortfall.to_string();
    for part in ["1000", "2378", "1024", "--max-connections 398"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(limits.capacity(loopback, Some(2378)).shortfall(), None);
    let hopeless = Limits::default().capacity(loopback, Some(64)).shortfall();
    let said = hopeless.unwrap().to_string();
    assert!(!said.contains("--max-connections"), "{said}");
}

#[test]
fn one_client_has_all_on_loopback_and_half_elsewhere() {
    let loopback = "127.0.0.1".parse().unwrap();
    let any = "0.0.0.0".parse().unwrap();
    let of = |file: &str, listen| {
        let capacity = settings(file).unwrap().limits.capacity(listen, None);
        (capacity.connections, capacity.per_client)
    };
    assert_eq!(of("max_connections = 11", loopback), (11, 11));
    assert_eq!(of("max_connections = 11", any), (11, 6));
    assert_eq!(of("max_connections_per_client = 9", any), (4096, 9));
    assert_eq!(of("max_connections = 1", any), (1, 1));
}
