//! Says why AWS refused a request's credentials, in the record's notes and in one line of the log. The answer itself is
//! passed on as it is.
//!
//! What can be wrong is `aws::diagnose`'s business; here is what it needs to know of the answer. The time that an answer
//! tells is worth knowing to others as well.

use std::time::Instant;

use time::OffsetDateTime;

use crate::aws::diagnose::{Refusal, diagnose, http_date};
use crate::ledger::UsageRecord;
use crate::wire::http1::{RequestHead, ResponseHead};

/// What of an answer a diagnosis is made from.
#[derive(Debug)]
pub(super) struct Suspect {
    /// TLS vouches for who answers.
    verified: bool,
    answered: Option<(OffsetDateTime, Instant)>,
}

impl Suspect {
    pub(super) fn new(verified: bool) -> Self {
        Self {
            verified,
            answered: None,
        }
    }

    /// Notes what the upstream's clock shows.
    pub(super) fn answered(&mut self, head: &ResponseHead) {
        let date = head.fields().text_of("date").and_then(http_date);
        self.answered = date.map(|date| (date, Instant::now()));
    }

    /// What the clock of an upstream showed and when, if it can be believed.
    pub(super) fn told(&self) -> Option<(OffsetDateTime, Instant)> {
        self.answered.filter(|_| self.verified)
    }

    /// Notes in `record` what is wrong with the credentials of `request`, if they were refused.
    pub(super) fn explain(
        &self,
        request: &RequestHead,
        record: &mut UsageRecord,
        now: OffsetDateTime,
    ) {
        let (Some(status), Some(host)) = (record.status, record.host.as_deref()) else {
            return;
        };
        let refusal = Refusal {
            status,
            error_type: record.error_type.as_deref(),
            date: self
                .answered
                .filter(|_| status >= 400)
                .map(|(date, _)| date),
        };
        let findings = diagnose(request, host, &refusal, now);
        if findings.is_empty() {
            return;
        }
        let why: Vec<String> = findings.iter().map(ToString::to_string).collect();
        tracing::warn!(
            client = record.client,
            host,
            id = record.id,
            error_type = refusal.error_type,
            "AWS refused the credentials: {}",
            why.join("; ")
        );
        let codes = findings.iter().map(|finding| finding.code().to_owned());
        record.notes.extend(codes);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::wire::http1::HeadLimits;

    #[test]
    fn the_time_is_believed_only_of_whom_tls_vouches_for() {
        let text = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n";
        let head = ResponseHead::take(&mut BytesMut::from(text), &HeadLimits::default());
        let head = head.unwrap().unwrap();
        for verified in [true, false] {
            let mut suspect = Suspect::new(verified);
            suspect.answered(&head);
            assert_eq!(suspect.told().is_some(), verified);
        }
    }
}
