//! Groups and transactional ids that are not for clients: those of sinks, which say how far each has written. Clients may read them.

use super::code;

/// Refuses changes of a group that is a sink's.
pub(super) fn check_group(id: &str) -> Result<(), i16> {
    match weir_engine::is_of_sink(id) {
        true => Err(code::GROUP_AUTHORIZATION_FAILED),
        false => Ok(()),
    }
}

/// Refuses to write as a sink.
pub(super) fn check_transactional_id(id: &str) -> Result<(), i16> {
    match weir_engine::is_of_sink(id) {
        true => Err(code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        false => Ok(()),
    }
}
