//! A second reader of HTTP/1.1 messages, for the bodies that hold the gate's own against one.
//!
//! It works on whole slices, knows nothing of `wire`, and has no mercy: what RFC 9112 lets a recipient forgive is
//! malformed here. It judges form and length only; what a field means beyond that is left to the bodies.

/// What stands at the front of some bytes.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// A message, and what follows it.
    Whole(Message<'a>, &'a [u8]),
    /// The beginning of one; its head, if that is there.
    Cut(Option<Head<'a>>),
    /// No message.
    Malformed(&'static str),
}

/// A start-line and field-lines.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    /// As it stands, empty line included.
    pub(super) bytes: &'a [u8],
    /// The parts of the start-line; the third may hold blanks in a response.
    pub(super) start: [&'a [u8]; 3],
    /// Each whole line, without its CRLF, and name and value in it.
    pub(super) lines: Vec<Line<'a>>,
}

/// A field-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Without its CRLF.
    pub(super) whole: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// A whole message.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) head: Head<'a>,
    /// The body as it stands, transfer coding included.
    pub(super) body: &'a [u8],
    /// The body without transfer coding.
    pub(super) content: Vec<u8>,
    /// Its end is the connection's end.
    pub(super) until_close: bool,
}

/// A line and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// How long a body is.
enum Length {
    Octets(u64),
    Chunked,
    UntilClose,
}

/// The request at the front of `bytes`; empty lines before it are no part of it.
pub(super) fn request(bytes: &[u8]) -> Read<'_> {
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    message(bytes, request_line, |head| {
        Ok(request_length(head)?.unwrap_or(Length::Octets(0)))
    })
}

/// The response to a request with `method` at the front of `bytes`.
pub(super) fn response<'a>(bytes: &'a [u8], method: &str) -> Read<'a> {
    message(bytes, status_line, |head| {
        let declared = request_length(head)?;
        let [_, status, _] = head.start;
        let tunnel = method == "CONNECT" && status.starts_with(b"2");
        if method == "HEAD"
            || tunnel
            || status.starts_with(b"1")
            || status == b"204"
            || status == b"304"
        {
            return Ok(Length::Octets(0));
        }
        Ok(declared.unwrap_or(Length::UntilClose))
    })
}

impl<'a> Head<'a> {
    /// The values of a field, in order.
    pub(super) fn all(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self
            .lines
            .iter()
            .filter(|line| line.name.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|line| line.value).collect()
    }
}

/// The head at the front of `bytes` and where it ends, with the start-line read by `start`.
pub(super) fn head<'a>(
    bytes: &'a [u8],
    start: fn(&'a [u8]) -> Option<[&'a [u8]; 3]>,
) -> Result<Option<(Head<'a>, &'a [u8])>, &'static str> {
    let Some((first, mut rest)) = line(bytes)? else {
        return Ok(None);
    };
    let start = start(first).ok_or("a malformed start-line")?;
    let mut lines = Vec::new();
    loop {
        let Some((text, after)) = line(rest)? else {
            return Ok(None);
        };
        rest = after;
        if text.is_empty() {
            let bytes = &bytes[..bytes.len() - rest.len()];
            return Ok(Some((
                Head {
                    bytes,
                    start,
                    lines,
                },
                rest,
            )));
        }
        lines.push(field_line(text)?);
    }
}

/// `method SP request-target SP HTTP-version`
pub(super) fn request_line(line: &[u8]) -> Option<[&[u8]; 3]> {
    let words: Vec<&[u8]> = line.split(|&octet| octet == b' ').collect();
    let [method, target, version] = words[..] else {
        return None;
    };
    let fits = !method.is_empty()
        && method.iter().all(is_token)
        && !target.is_empty()
        && target.iter().all(|&octet| octet > b' ' && octet != 0x7f)
        && is_version(version);
    fits.then_some([method, target, version])
}

/// `HTTP-version SP status-code [ SP reason-phrase ]`: the blank may be missing with the phrase, as it often is.
pub(super) fn status_line(line: &[u8]) -> Option<[&[u8]; 3]> {
    let (version, rest) = line.split_at_checked(8)?;
    let rest = rest.strip_prefix(b" ")?;
    let (status, phrase) = rest.split_at_checked(3)?;
    let fits = is_version(version)
        && status.iter().all(u8::is_ascii_digit)
        && matches!(status[0], b'1'..=b'5')
        && (phrase.is_empty() || phrase.starts_with(b" "));
    fits.then_some([version, status, phrase])
}

fn is_version(version: &[u8]) -> bool {
    matches!(version, b"HTTP/1.0" | b"HTTP/1.1")
}

fn is_token(octet: &u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet)
}

/// A line that ends in CRLF, without it; no other control character but the tabulator.
fn line(bytes: &[u8]) -> Result<Option<Split<'_>>, &'static str> {
    for (at, octet) in bytes.iter().enumerate() {
        match octet {
            b'\r' => {
                return match bytes.get(at + 1) {
                    Some(b'\n') => Ok(Some((&bytes[..at], &bytes[at + 2..]))),
                    Some(_) => Err("a bare CR"),
                    None => Ok(None),
                };
            }
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return Err("a control character"),
        }
    }
    Ok(None)
}

fn field_line(whole: &[u8]) -> Result<Line<'_>, &'static str> {
    let colon = whole
        .iter()
        .position(|&octet| octet == b':')
        .ok_or("a field-line without colon")?;
    let (name, value) = (&whole[..colon], &whole[colon + 1..]);
    if name.is_empty() || !name.iter().all(is_token) {
        return Err("a field name that is no token");
    }
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let start = value
        .iter()
        .position(|octet| !blank(octet))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|octet| !blank(octet))
        .map_or(start, |last| last + 1);
    Ok(Line {
        whole,
        name,
        value: &value[start..end],
    })
}

/// RFC 9112 §6.3, with every choice that it leaves to a recipient made against the sender.
fn request_length(head: &Head<'_>) -> Result<Option<Length>, &'static str> {
    let (codings, lengths) = (head.all("transfer-encoding"), head.all("content-length"));
    match (&codings[..], &lengths[..]) {
        ([], []) => Ok(None),
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => {
            let is_old = head.start.iter().any(|part| *part == b"HTTP/1.0");
            if is_old {
                Err("Transfer-Encoding in HTTP/1.0")
            } else {
                Ok(Some(Length::Chunked))
            }
        }
        ([], [length]) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            let digits = std::str::from_utf8(length).unwrap();
            let octets = digits
                .parse()
                .map_err(|_| "a Content-Length beyond 64 bits")?;
            Ok(Some(Length::Octets(octets)))
        }
        _ => Err("no certain length"),
    }
}

fn message<'a>(
    bytes: &'a [u8],
    start: fn(&'a [u8]) -> Option<[&'a [u8]; 3]>,
    length: impl FnOnce(&Head<'a>) -> Result<Length, &'static str>,
) -> Read<'a> {
    let (head, rest) = match head(bytes, start) {
        Ok(Some(found)) => found,
        Ok(None) => return Read::Cut(None),
        Err(why) => return Read::Malformed(why),
    };
    let length = match length(&head) {
        Ok(length) => length,
        Err(why) => return Read::Malformed(why),
    };
    let mut content = Vec::new();
    let after = match length {
        Length::UntilClose => {
            content.extend_from_slice(rest);
            Ok(Some(&rest[rest.len()..]))
        }
        Length::Octets(octets) => {
            let body = usize::try_from(octets)
                .ok()
                .and_then(|octets| rest.split_at_checked(octets));
            Ok(body.map(|(body, after)| {
                content.extend_from_slice(body);
                after
            }))
        }
        Length::Chunked => chunked(rest, &mut content),
    };
    match after {
        Ok(Some(after)) => {
            let until_close = matches!(length, Length::UntilClose);
            let body = &rest[..rest.len() - after.len()];
            Read::Whole(
                Message {
                    head,
                    body,
                    content,
                    until_close,
                },
                after,
            )
        }
        Ok(None) => Read::Cut(Some(head)),
        Err(why) => Read::Malformed(why),
    }
}

/// RFC 9112 §7.1: what follows the chunked body at the front of `bytes`.
pub(super) fn chunked<'a>(
    bytes: &'a [u8],
    content: &mut Vec<u8>,
) -> Result<Option<&'a [u8]>, &'static str> {
    let mut rest = bytes;
    loop {
        let Some((text, after)) = line(rest)? else {
            return Ok(None);
        };
        let size = chunk_size(text)?;
        rest = after;
        if size == 0 {
            break;
        }
        let Some((data, after)) = usize::try_from(size)
            .ok()
            .and_then(|size| rest.split_at_checked(size))
        else {
            return Ok(None);
        };
        content.extend_from_slice(data);
        rest = match after {
            [b'\r', b'\n', after @ ..] => after,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk without CRLF"),
        };
    }
    loop {
        let Some((text, after)) = line(rest)? else {
            return Ok(None);
        };
        rest = after;
        if text.is_empty() {
            return Ok(Some(rest));
        }
        field_line(text)?;
    }
}

/// `chunk-size [ *( BWS ";" … ) ]`
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let end = line
        .iter()
        .position(|octet| !octet.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, extension) = line.split_at(end);
    let blank = extension
        .iter()
        .take_while(|octet| matches!(octet, b' ' | b'\t'))
        .count();
    if !extension.is_empty() && extension.get(blank) != Some(&b';') {
        return Err("a malformed chunk-size line");
    }
    let digits = std::str::from_utf8(digits).unwrap();
    u64::from_str_radix(digits, 16).map_err(|_| "a chunk size that is no number of 64 bits")
}
