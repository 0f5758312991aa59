//! The command line of Tollgate: reads what was typed, hands it to a command, says how it ended.

mod commands;

use std::process::ExitCode;

use tollgate::cli::{Cli, Exit, Output};

/// A gateway makes and drops many small things; this allocator is quicker at that than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(refused) => {
            let shown = refused.show(no_color);
            return if shown.is_ok() { refused.exit.into() } else { Exit::Found.into() };
        }
    };
    let mut output = Output::standard(&cli.global, no_color);
    let exit = match commands::run(cli, &mut output) {
        Ok(exit) => exit,
        // `tollgate report | head` is no failure.
        Err(error) if output.is_closed() || closed(&error) => Exit::Good,
        Err(error) => {
            let _ = output.error(&format!("{error:#}"));
            Exit::Found
        }
    };
    exit.into()
}

fn closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
