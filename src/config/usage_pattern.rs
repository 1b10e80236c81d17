//! `[[usage_pattern]]` tables become the patterns that the observers read by.
//!
//! What a path may look like is said and checked in `usage::patterns`; here the options only get the names they have
//! there, and an error gets the name of the option.

use std::sync::Arc;

use super::load::ConfigError;
use super::options::UsagePatternOption;
use crate::usage::{PatternError, PatternTable, Patterns, TaughtCount};

/// The tables, checked.
pub(super) fn usage_patterns(options: &[UsagePatternOption]) -> Result<Arc<Patterns>, ConfigError> {
    let tables: Vec<PatternTable> = options.iter().map(table).collect();
    Patterns::new(&tables)
        .map(Arc::new)
        .map_err(|error| ConfigError::Invalid {
            option: "usage_pattern",
            why: explain(&error),
        })
}

fn table(option: &UsagePatternOption) -> PatternTable {
    let paths = [
        (TaughtCount::Input, &option.input_tokens),
        (TaughtCount::Output, &option.output_tokens),
        (TaughtCount::CacheRead, &option.cache_read_tokens),
        (TaughtCount::CacheWrite, &option.cache_write_tokens),
        (TaughtCount::CacheWrite1h, &option.cache_write_1h_tokens),
        (TaughtCount::Reasoning, &option.reasoning_tokens),
    ];
    PatternTable {
        host: option.host.clone(),
        route: option.route.clone(),
        model: option.model.clone(),
        paths: paths
            .into_iter()
            .filter_map(|(count, path)| Some((count, path.clone()?)))
            .collect(),
        input_includes_cache: option.input_includes_cache,
    }
}

/// The message with its cause: a wrong option is printed as one sentence.
fn explain(error: &PatternError) -> String {
    match error {
        PatternError::Path { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::Options;

    fn patterns(file: &str) -> Result<Arc<Patterns>, String> {
        let options: Options = toml::from_str(file).map_err(|error| error.to_string())?;
        usage_patterns(&options.usage_pattern).map_err(|error| error.to_string())
    }

    #[test]
    fn the_guides_patterns_translate_one_to_one() {
        let file = r#"
            [[usage_pattern]]
            prompt_tokens = "inbound_payload.usage.prompt_tokens"
            completion_tokens = "inbound_payload.usage.completion_tokens"

            [[usage_pattern]]
            model = "amazon.titan-*"
            prompt_tokens = "inbound_payload.inputTextTokenCount"
            completion_tokens = "inbound_payload.results.0.tokenCount"
        "#;
        patterns(file).unwrap();
    }

    #[test]
    fn an_error_names_the_table_and_the_path() {
        for (file, wanted) in [
            (
                "[[usage_pattern]]\noutput_tokens = \"a\"\n[[usage_pattern]]\ninput_tokens = \"usage..in\"",
                "option `usage_pattern`: table 2, input_tokens: `usage..in` is no path: step 2 is empty; a path is names \
                 separated by dots, as in usage.input_tokens",
            ),
            (
                "[[usage_pattern]]\nreasoning_tokens = \"a.**\"",
                "table 1, reasoning_tokens: `a.**` is no path",
            ),
            ("[[usage_pattern]]\nmodel = \"x\"", "table 1 names no count"),
            (
                "[[usage_pattern]]\ntotal_tokens = \"a\"",
                "unknown field `total_tokens`",
            ),
        ] {
            let message = patterns(file).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        }
    }

    #[test]
    fn without_a_table_there_is_nothing_to_read_by() {
        patterns("").unwrap();
    }
}
