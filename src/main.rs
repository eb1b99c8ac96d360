//! The `pushletd` program: arguments to the shell.

use std::process::ExitCode;

use pushletd::config::{self, ConfigError};
use pushletd::shell::args::{self, Action};
use pushletd::shell::{bench, client, serve};

fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Err(error) => error.exit(),
        Ok(Action::Serve(inputs)) => match args::load(&inputs) {
            Ok(config) => serve(&config, &inputs),
            Err(errors) => refuse(&errors),
        },
        Ok(Action::PrintConfig(inputs)) => match args::load(&inputs) {
            Ok(config) => {
                print!("{}", config::print_config(&config));
                ExitCode::SUCCESS
            }
            Err(errors) => refuse(&errors),
        },
        Ok(Action::CheckConfig(path)) => match args::check_config(&path) {
            Ok(config) => {
                for warning in config.warnings() {
                    eprintln!("pushletd: warning: {warning}");
                }
                println!("{}: ok", path.display());
                ExitCode::SUCCESS
            }
            Err(errors) => refuse(&errors),
        },
        Ok(Action::Sub(wanted)) => client::run_sub(wanted),
        Ok(Action::Pub(wanted)) => client::run_pub(wanted),
        Ok(Action::Bench(wanted)) => bench::run_bench(&wanted),
    }
}

fn refuse(errors: &[ConfigError]) -> ExitCode {
    for error in errors {
        eprintln!("pushletd: {error}");
    }
    ExitCode::FAILURE
}
