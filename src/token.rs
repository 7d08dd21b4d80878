//! `weir token`: tokens that nobody can guess, and what broker.yaml keeps of a password.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use argon2::{Argon2, PasswordHash, PasswordHasher};
use sha2::{Digest, Sha256};
use weir::config::ScramKeys;

use crate::print;

/// What RFC 7677 asks for at least, times four.
const SCRAM_ITERATIONS: u32 = 16_384;

/// Prints a new token and its SHA-256.
pub(crate) fn new() -> ExitCode {
    let Some(random) = random::<24>() else { return ExitCode::FAILURE };
    let token = hex(&random);
    let digest = hex(&Sha256::digest(token.as_bytes()));
    print(format_args!(
        "token:        {token}\n\
         token_sha256: {digest}\n\n\
         The token is for the device: it connects with the user name `Token` and the token as password.\n\
         The hash is for broker.yaml: `my-device: {{ token_sha256: \"{digest}\" }}`.\n\
         Nothing keeps the token but you: it cannot be found again from its hash."
    ))
}

/// Reads a password from standard input, and prints its hash and its SCRAM keys.
pub(crate) fn password() -> ExitCode {
    if std::io::stdin().is_terminal() {
        eprint!("password (it is shown as you type): ");
        // Where the prompt cannot be shown, the password is read all the same.
        let _ = std::io::stderr().flush();
    }
    let mut line = String::new();
    if let Err(error) = std::io::stdin().lock().read_line(&mut line) {
        eprintln!("error: no password could be read: {error}");
        return ExitCode::FAILURE;
    }
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        eprintln!("error: a password is expected on standard input");
        return ExitCode::FAILURE;
    }
    let (Some(salt), Some(scram_salt)) = (random::<16>(), random::<16>()) else { return ExitCode::FAILURE };
    let hash: PasswordHash = match Argon2::default().hash_password_with_salt(password.as_bytes(), &salt) {
        Ok(hash) => hash,
        Err(error) => {
            eprintln!("error: the password cannot be hashed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let keys = ScramKeys::derive(password.as_bytes(), &scram_salt, SCRAM_ITERATIONS);
    print(format_args!(
        "password_hash: \"{hash}\"\n\
         scram:         \"{keys}\"\n\n\
         Both are for broker.yaml, beside a `username`: password_hash for clients that send the password in CONNECT, scram\n\
         for MQTT 5 clients that prove it by the authentication method SCRAM-SHA-256. Keep one, or both."
    ))
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut random = [0; N];
    match getrandom::fill(&mut random) {
        Ok(()) => Some(random),
        Err(error) => {
            eprintln!("error: the system gives no random bytes: {error}");
            None
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
