//! The published keys of the simulator: fakes that sign for nothing but this simulator.
//!
//! The demo signs with them and the verifier looks secrets up here. The key ids have the form of AWS key ids (`AKIA` for
//! a user's long-term key, `ASIA` for a session), so that everything that reads ids treats them like real ones.

/// Key id of the long-term key.
pub const ACCESS_KEY_ID: &str = "AKIAEXAMPLE0TOLLGATE";
/// Secret of the long-term key.
pub const SECRET_ACCESS_KEY: &str = "tollgate/demo/secret/key/not/for/aws/use";
/// Key id of the session key.
pub const SESSION_ACCESS_KEY_ID: &str = "ASIAEXAMPLE0TOLLGATE";
/// Secret of the session key.
pub const SESSION_SECRET_ACCESS_KEY: &str = "tollgate/demo/session/key/not/for/aws/use";
/// Token that must come with the session key. It holds the octets that encoders get wrong.
pub const SESSION_TOKEN: &str = "FwoGZXIvYXdzTOLLGATE//demo+session/token==";
/// The one bearer key that is let in.
pub const BEARER_KEY: &str = "bedrock-api-key-tollgate-demo-key";

/// What signs for a key id.
#[derive(Clone, Copy)]
pub(super) struct Secret {
    pub(super) secret_access_key: &'static str,
    pub(super) session_token: Option<&'static str>,
}

/// The secret behind a key id, if it is one of ours.
pub(super) fn secret_of(access_key_id: &str) -> Option<Secret> {
    match access_key_id {
        ACCESS_KEY_ID => Some(Secret {
            secret_access_key: SECRET_ACCESS_KEY,
            session_token: None,
        }),
        SESSION_ACCESS_KEY_ID => Some(Secret {
            secret_access_key: SESSION_SECRET_ACCESS_KEY,
            session_token: Some(SESSION_TOKEN),
        }),
        _ => None,
    }
}
