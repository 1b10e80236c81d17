//! The operator's prices become a price book: `[[price]]` tables and the file that `--prices-file` names.
//!
//! Reading is done here, understanding in `spend`. A price that cannot be used never starts the gate.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use time::OffsetDateTime;
use time::macros::format_description;

use super::load::ConfigError;
use super::options::Options;
use crate::spend::PriceBook;
use crate::spend::litellm::PriceFile;
use crate::spend::operator::{Overrides, PriceEntry};

/// Many times what the public file has; more is another file.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// All prices: the operator's tables, the file that is named, the built-in ones.
pub(super) fn of(options: &Options) -> Result<PriceBook, ConfigError> {
    let book = book(&options.price)?;
    match &options.prices_file {
        Some(path) => with_file(&book, path),
        None => Ok(book),
    }
}

/// The built-in prices, and the operator's tables before them.
fn book(entries: &[PriceEntry]) -> Result<PriceBook, ConfigError> {
    let overrides = Overrides::new(entries).map_err(|wrong| ConfigError::Invalid {
        option: "price",
        why: wrong.to_string(),
    })?;
    Ok(PriceBook::builtin().with_overrides(overrides))
}

/// `book` with the rows of the file at `path`. Their date is that of the file: it holds none itself.
fn with_file(book: &PriceBook, path: &Path) -> Result<PriceBook, ConfigError> {
    let unreadable = |source| ConfigError::PricesUnreadable {
        path: path.to_owned(),
        source,
    };
    let (text, as_of) = read(path).map_err(unreadable)?;
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let file = PriceFile::parse(&text, &name, as_of.as_deref());
    let file = file.map_err(|source| ConfigError::Prices {
        path: path.to_owned(),
        source,
    })?;
    Ok(book.clone().with_file(file))
}

fn read(path: &Path) -> io::Result<(String, Option<String>)> {
    let file = File::open(path)?;
    let modified = file.metadata()?.modified().ok();
    let as_of = modified.and_then(|time| {
        OffsetDateTime::from(time)
            .format(format_description!("[year]-[month]-[day]"))
            .ok()
    });
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    Ok((text, as_of))
}

#[cfg(test)]
mod tests {

    use crate::config::{HomeOption, Options, load_prices};

    fn error(options: &Options, home: &HomeOption) -> String {
        let error = load_prices(options, home).unwrap_err();
        match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn tables_and_file_come_from_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let prices = dir.path().join("prices.json");
        let config = dir.path().join("tollgate.toml");
        std::fs::write(
            &prices,
            r#"{"acme.big": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}}"#,
        )
        .unwrap();
        let text = format!(
            "listen = \"0.0.0.0:1\"\nprices_file = {:?}\n[[price]]\nmodel = \"*\"\nmultiplier = 0.5\n",
            prices.to_str().unwrap()
        );
        std::fs::write(&config, &text).unwrap();
        let home = HomeOption {
            config: Some(config.clone()),
            ..HomeOption::default()
        };
        let book = load_prices(&Options::default(), &home).unwrap();
        assert_eq!(book.overrides().iter().count(), 1);
        let row = book.file().unwrap().rows().first().unwrap();
        assert_eq!(&*row.id, "acme.big");
        assert_eq!(row.price.as_of.as_ref().unwrap().len(), "2026-01-31".len());
        assert_eq!(&*row.price.source, "prices.json");

        let missing = Options {
            prices_file: Some(dir.path().join("none.json")),
            ..Options::default()
        };
        let message = error(&missing, &home);
        assert!(message.contains("none.json"), "{message}");
        std::fs::write(
            &prices,
            r#"{"acme.big": {"litellm_provider": "bedrock", "input_cost_per_token": "x"}}"#,
        )
        .unwrap();
        let message = error(&Options::default(), &home);
        for part in ["prices.json", "acme.big", "input_cost_per_token", "\"x\""] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_wrong_table_is_named_by_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("tollgate.toml");
        let home = HomeOption {
            config: Some(config.clone()),
            ..HomeOption::default()
        };
        for (table, parts) in [
            ("model = \"a.b\"", ["option `price`", "[[price]] 2"]),
            (
                "model = \"a.b\"\ninptu = 1\noutput = 1",
                ["line 6", "inptu"],
            ),
            ("model = \"a.b\"\ninput = true", ["line 4", "a number"]),
            ("input = 1\noutput = 2", ["line 4", "model"]),
        ] {
            let text =
                format!("[[price]]\nmodel = \"*\"\nmultiplier = \"0.9\"\n[[price]]\n{table}\n");
            std::fs::write(&config, text).unwrap();
            let message = error(&Options::default(), &home);
            for part in parts {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
    }
}
