//! Every option is documented, and the example holds them all.

use super::*;

/// The keys that may stand below `header`.
fn keys(header: &str) -> Vec<String> {
    let error = toml::from_str::<Options>(&format!("{header}\n\"\" = 0\n")).unwrap_err();
    let words = error.message().split('`').skip(3).step_by(2);
    words.map(str::to_owned).collect()
}

#[test]
fn every_key_of_every_table_is_documented() {
    let page = include_str!("../../docs/configuration.md");
    let mut count = 0;
    for header in [
        "[[host]]",
        "[[route]]",
        "[[certificate]]",
        "[[usage_pattern]]",
    ] {
        let keys = keys(header);
        assert!(keys.len() > 1, "{header}");
        for key in keys {
            assert!(page.contains(&format!("`{key}`")), "{header}: {key}");
            count += 1;
        }
    }
    assert!(count > 15);
}

#[test]
fn the_example_holds_every_key_and_each_of_them_is_right() {
    let example = include_str!("../../examples/tollgate.toml");
    let whole: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', '#']) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let table: toml::Table = toml::from_str(&whole).unwrap();
    for key in keys("") {
        assert!(table.contains_key(&key), "{key}");
    }
    for text in [example, &whole] {
        let options: Options = toml::from_str(text).unwrap();
        let options = Options {
            learn_sessions: None,
            // Files of another machine.
            prices_file: None,
            users: None,
            ..options
        };
        crate::config::Settings::from_options(options, "/home".into(), None).unwrap();
    }
}

#[test]
fn every_option_is_documented_and_has_its_variable() {
    let command = HomeOption::augment_args(Options::augment_args(clap::Command::new("tollgate")));
    let page = include_str!("../../docs/configuration.md");
    for argument in command.get_arguments() {
        let name = argument.get_long().unwrap();
        assert!(
            page.contains(&format!("`--{name}")),
            "--{name} is missing in docs/configuration.md"
        );
        let variable = format!("TOLLGATE_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(argument.get_env().unwrap(), variable.as_str());
    }
}
