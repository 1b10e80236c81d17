//! Messages that nobody has thought of: valid ones pass octet for octet however they are cut, and what becomes of the
//! others is what a reader that is not the gate's says.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::generated::{self, Made, cuts, harm, harmed, pieces};
use crate::support::reference::{self, Reading, Whole};
use crate::support::walk::{self, Step};
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream, assert_bytes, shown};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_two_readers_and_the_maker_agree_on_what_is_valid(
        request in generated::request(),
        response in generated::response(),
    ) {
        agree(&request, &reference::request(&request.wire))?;
        agree(&response, &reference::response(&response.wire, "POST"))?;
    }

    #[test]
    fn a_valid_request_passes_however_it_is_cut_and_so_does_the_next(
        first in generated::request(),
        second in generated::request(),
        cuts in cuts(),
    ) {
        let wire = [first.wire, second.wire].concat();
        let steps = walk::requests(&walk::tunnel(), pieces(&wire, &cuts));
        prop_assert_eq!(steps, [Step::Passed(first.forwarded), Step::Passed(second.forwarded)]);
    }

    #[test]
    fn a_valid_response_passes_however_it_is_cut_and_what_follows_is_not_part_of_it(
        first in generated::response(),
        second in generated::response(),
        cuts in cuts(),
    ) {
        let wire = [first.wire, second.wire].concat();
        let steps = walk::responses("POST", pieces(&wire, &cuts));
        prop_assert_eq!(steps, [Step::Passed(first.forwarded), Step::Passed(second.forwarded)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_request_with_something_wrong_passes_as_one_message_or_not_at_all(
        request in generated::request(),
        harm in harm(),
        cuts in cuts(),
    ) {
        let octets = harmed(&request.wire, &harm);
        let octets = without_empty_lines(&octets);
        let steps = walk::requests(&walk::tunnel(), [octets]);
        let told = match reference::request(octets) {
            Reading::Whole(whole) if is_for_bedrock(&whole) => whole.forwarded,
            _ => None,
        };
        compare(octets, told, &steps)?;
        same_however_cut(&steps, &walk::requests(&walk::tunnel(), pieces(octets, &cuts)))?;
    }

    #[test]
    fn a_response_with_something_wrong_passes_as_one_message_or_not_at_all(
        response in generated::response(),
        method in prop_oneof![4 => Just("POST"), 1 => Just("HEAD")],
        harm in harm(),
        cuts in cuts(),
    ) {
        let octets = harmed(&response.wire, &harm);
        let steps = walk::responses(method, [octets.as_slice()]);
        let told = match reference::response(&octets, method) {
            Reading::Whole(whole) => whole.forwarded,
            Reading::Bad | Reading::More => None,
        };
        compare(&octets, told, &steps)?;
        same_however_cut(&steps, &walk::responses(method, pieces(&octets, &cuts)))?;
    }
}

fn agree(made: &Made, reading: &Reading) -> Result<(), TestCaseError> {
    let Reading::Whole(whole) = reading else {
        return Err(TestCaseError::fail(format!(
            "{reading:?}: {}",
            shown(&made.wire)
        )));
    };
    prop_assert_eq!(whole.length, made.wire.len());
    prop_assert_eq!(&whole.content, &made.content);
    prop_assert_eq!(whole.forwarded.as_ref(), Some(&made.forwarded));
    Ok(())
}

/// RFC 9112 §2.2: those before a request are ignored.
fn without_empty_lines(mut octets: &[u8]) -> &[u8] {
    while let Some(rest) = octets.strip_prefix(b"\r\n") {
        octets = rest;
    }
    octets
}

/// What the route asks of a request inside a tunnel for [`BEDROCK`]: origin-form, and that host, which HTTP/1.0 need not
/// name.
fn is_for_bedrock(whole: &Whole) -> bool {
    let host = match whole.hosts.as_slice() {
        [host] => host,
        [] => return whole.start[2] == b"HTTP/1.0" && whole.start[1].starts_with(b"/"),
        _ => return false,
    };
    let text = String::from_utf8_lossy(host).to_ascii_lowercase();
    let (name, port) = text.split_once(':').unwrap_or((&text, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    let digits = port.len() <= 5 && port.bytes().all(|octet| octet.is_ascii_digit());
    let right_port = port.is_empty() || (digits && port.parse() == Ok(443));
    whole.start[1].starts_with(b"/") && name == BEDROCK && right_port
}

/// `told`: what the other reader would pass on of the first message.
fn compare(octets: &[u8], told: Option<Vec<u8>>, steps: &[Step]) -> Result<(), TestCaseError> {
    let passed = match steps.first() {
        Some(Step::Passed(passed)) => Some(passed.clone()),
        _ => None,
    };
    let show = |octets: &Option<Vec<u8>>| octets.as_deref().map(shown);
    prop_assert_eq!(show(&passed), show(&told), "{}: {:?}", shown(octets), steps);
    Ok(())
}

/// Of a body that turns out to be none, more or less has gone on before that was seen.
fn same_however_cut(whole: &[Step], cut: &[Step]) -> Result<(), TestCaseError> {
    prop_assert_eq!(whole.len(), cut.len(), "{:?} or {:?}", whole, cut);
    for steps in whole.iter().zip(cut) {
        match steps {
            (Step::Broken(_), Step::Broken(_)) => {}
            (whole, cut) => prop_assert_eq!(whole, cut),
        }
    }
    Ok(())
}

/// Messages over sockets, the same in every run.
const EXCHANGES: usize = 60;

#[tokio::test]
async fn valid_messages_pass_over_sockets_as_they_were_made() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut runner = TestRunner::deterministic();
    let made = (generated::request(), generated::response(), cuts(), cuts());
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served: Option<RawClient> = None;
    for _ in 0..EXCHANGES {
        let (request, response, request_cuts, response_cuts) =
            made.new_tree(&mut runner).unwrap().current();
        client
            .send_pieces(pieces(&request.wire, &request_cuts))
            .await;
        let upstream_side = match &mut served {
            Some(served) => served,
            none => none.insert(upstream.accept().await),
        };
        upstream_side.expect(&request.forwarded).await;
        upstream_side
            .send_pieces(pieces(&response.wire, &response_cuts))
            .await;
        let heard = client.answer_to(&request.method).await;
        assert_bytes(&heard.raw(), &response.forwarded, &shown(&response.wire));
    }
    assert_eq!(upstream.connections(), 1);
}
