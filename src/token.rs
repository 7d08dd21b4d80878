//! `weir token new`: a token that nobody can guess, and the two lines that put it to use.

use std::process::ExitCode;

use sha2::{Digest, Sha256};

/// Prints a new token and its SHA-256.
pub(crate) fn new() -> ExitCode {
    let mut random = [0; 24];
    if let Err(error) = getrandom::fill(&mut random) {
        eprintln!("error: the system gives no random bytes: {error}");
        return ExitCode::FAILURE;
    }
    let token = hex(&random);
    let digest = hex(&Sha256::digest(token.as_bytes()));
    println!("token:        {token}");
    println!("token_sha256: {digest}");
    println!();
    println!("The token is for the device: it connects with the user name `Token` and the token as password.");
    println!("The hash is for broker.yaml: `my-device: {{ token_sha256: \"{digest}\" }}`.");
    println!("Nothing keeps the token but you: it cannot be found again from its hash.");
    ExitCode::SUCCESS
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
