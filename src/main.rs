//! The `pushletd` program: arguments to the shell.

fn main() {}
