//! A strict reader of HTTP/1 messages that shares nothing with the gate's: written from RFC 9112 and RFC 9110, on whole
//! input, one function a rule, with no thought for speed.
//!
//! It says where the first message ends and what of it would be passed on. Limits of length are not its business.

/// What stands at the beginning of some octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing that could become a message.
    Bad,
    /// The beginning of a message.
    More,
    /// A whole message.
    Whole(Whole),
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Octets from the first of the start-line to the last of the body.
    pub(crate) length: usize,
    /// The same octets without the lines that end at a proxy, or `None` where a line of the message would have to go.
    pub(crate) forwarded: Option<Vec<u8>>,
    /// The body without its transfer coding.
    pub(crate) content: Vec<u8>,
    /// Every value of Host.
    pub(crate) hosts: Vec<Vec<u8>>,
    /// The parts of the start-line.
    pub(crate) start: Vec<Vec<u8>>,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Request,
    /// To a request with this method.
    Response(&'a str),
}

/// How much of the input a rule has taken, or why it has not.
type Taken<T> = Result<(T, usize), Reading>;

/// The first request in `input`.
pub(crate) fn request(input: &[u8]) -> Reading {
    message(input, Kind::Request).unwrap_or_else(|reading| reading)
}

/// The first response in `input`, to a request with `method`. One without a length has no end in here.
pub(crate) fn response(input: &[u8], method: &str) -> Reading {
    message(input, Kind::Response(method)).unwrap_or_else(|reading| reading)
}

/// A field-line: its name in lower case, its value, and the line as it came.
type Field<'a> = (Vec<u8>, Vec<u8>, &'a [u8]);

fn message(input: &[u8], kind: Kind<'_>) -> Result<Reading, Reading> {
    let (start_line, mut at) = line(input)?;
    let start = match kind {
        Kind::Request => request_line(start_line),
        Kind::Response(_) => status_line(start_line),
    };
    let start = start.ok_or(Reading::Bad)?;
    let first = at;
    let mut fields: Vec<Field<'_>> = Vec::new();
    loop {
        let (line, length) = line(&input[at..])?;
        let raw = &input[at..at + length];
        at += length;
        if line.is_empty() {
            break;
        }
        let (name, value) = field_line(line).ok_or(Reading::Bad)?;
        fields.push((name, value, raw));
    }
    let head = at;
    let mut content = Vec::new();
    match length(&start, &fields, kind)? {
        Length::None => {}
        Length::Octets(length) => {
            let rest = &input[at..];
            let length = usize::try_from(length).map_err(|_| Reading::More)?;
            content = rest.get(..length).ok_or(Reading::More)?.to_vec();
            at += length;
        }
        Length::Chunked => at += chunked(&input[at..], &mut content)?.1,
        Length::UntilTheEnd => return Err(Reading::More),
    }
    let kept = passing(&fields);
    let forwarded = kept.map(|kept| [&input[..first], &kept, b"\r\n", &input[head..at]].concat());
    Ok(Reading::Whole(Whole {
        length: at,
        forwarded,
        content,
        hosts: values(&fields, "host"),
        start,
    }))
}

fn values(fields: &[Field<'_>], name: &str) -> Vec<Vec<u8>> {
    let found = fields.iter().filter(|(found, ..)| found == name.as_bytes());
    found.map(|(_, value, _)| value.clone()).collect()
}

/// How long a body is.
enum Length {
    None,
    Octets(u64),
    Chunked,
    UntilTheEnd,
}

/// RFC 9112 §6.3, and nothing that leaves a choice.
fn length(start: &[Vec<u8>], fields: &[Field<'_>], kind: Kind<'_>) -> Result<Length, Reading> {
    let version = match kind {
        Kind::Request => &start[2],
        Kind::Response(_) => &start[0],
    };
    let disguised = ["content_length", "transfer_encoding"];
    let is_disguised = |name: &&str| !values(fields, name).is_empty();
    if kind == Kind::Request && disguised.iter().any(is_disguised) {
        return Err(Reading::Bad);
    }
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    let told = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => None,
        ([length], []) => Some(Length::Octets(decimal(length).ok_or(Reading::Bad)?)),
        ([], [coding]) if version == b"HTTP/1.1" && coding.eq_ignore_ascii_case(b"chunked") => {
            Some(Length::Chunked)
        }
        _ => return Err(Reading::Bad),
    };
    Ok(match kind {
        Kind::Request => told.unwrap_or(Length::None),
        Kind::Response("HEAD") => Length::None,
        Kind::Response(_) => match start[1].as_slice() {
            b"204" | b"304" | [b'1', ..] => Length::None,
            _ => told.unwrap_or(Length::UntilTheEnd),
        },
    })
}

/// The lines that go on, or `None` where one would have to go that belongs to the message.
fn passing(fields: &[Field<'_>]) -> Option<Vec<u8>> {
    let named: Vec<Vec<u8>> = values(fields, "connection")
        .iter()
        .flat_map(|value| value.split(|&octet| octet == b','))
        .map(|option| trimmed(option).to_ascii_lowercase())
        .collect();
    let needed: [&[u8]; 6] = [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"authorization",
    ];
    if named.iter().any(|name| needed.contains(&name.as_slice())) {
        return None;
    }
    let goes_on =
        |(name, ..): &&Field<'_>| !ends_here(name) && (name == b"close" || !named.contains(name));
    let kept = fields.iter().filter(goes_on);
    Some(kept.flat_map(|(.., raw)| raw.to_vec()).collect())
}

/// RFC 9110 §7.6.1 and §11.7.
fn ends_here(name: &[u8]) -> bool {
    let names: [&[u8]; 8] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"upgrade",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"proxy-authentication-info",
    ];
    names.contains(&name)
}

/// A line up to CRLF, and its length with it. No control octets but HTAB.
fn line(input: &[u8]) -> Taken<&[u8]> {
    for (at, &octet) in input.iter().enumerate() {
        match (octet, input.get(at + 1)) {
            (b'\r', Some(b'\n')) => return Ok((&input[..at], at + 2)),
            (b'\r', None) => return Err(Reading::More),
            (b'\t' | b' '..=b'~' | 0x80.., _) => {}
            _ => return Err(Reading::Bad),
        }
    }
    Err(Reading::More)
}

/// `method SP request-target SP HTTP-version`; octets of the target beyond ASCII pass if they are UTF-8.
fn request_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let parts: Vec<&[u8]> = line.split(|&octet| octet == b' ').collect();
    let [method, target, version] = parts.as_slice() else {
        return None;
    };
    let fits = is_token(method)
        && !target.is_empty()
        && !target.contains(&b'\t')
        && std::str::from_utf8(target).is_ok()
        && matches!(*version, b"HTTP/1.0" | b"HTTP/1.1");
    fits.then(|| parts.iter().map(|part| part.to_vec()).collect())
}

/// `HTTP-version SP status-code [SP reason-phrase]`.
fn status_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = line.splitn(3, |&octet| octet == b' ');
    let (version, status) = (parts.next()?, parts.next()?);
    let class = (b'1'..=b'5').contains(status.first()?);
    let fits = matches!(version, b"HTTP/1.0" | b"HTTP/1.1")
        && status.len() == 3
        && status.iter().all(u8::is_ascii_digit)
        && class;
    fits.then(|| vec![version.to_vec(), status.to_vec()])
}

/// `field-name ":" OWS field-value OWS`; the name in lower case.
fn field_line(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|&octet| octet == b':')?;
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    is_token(name).then(|| (name.to_ascii_lowercase(), value.to_vec()))
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&octet| is_tchar(octet))
}

fn is_tchar(octet: u8) -> bool {
    matches!(
        octet,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
    )
}

/// Digits of a length that fits 63 bits, and no more of them than the greatest has.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_i64, |value, &octet| {
            let digit = octet.is_ascii_digit().then(|| i64::from(octet - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        })
        .map(i64::unsigned_abs)
}

/// The same in hexadecimal.
fn hexadecimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    let fits = digits.iter().all(u8::is_ascii_hexdigit);
    let value = fits.then(|| i64::from_str_radix(text, 16))?.ok()?;
    usize::try_from(value).ok()
}

/// `*chunk last-chunk trailer-section CRLF`.
fn chunked(input: &[u8], content: &mut Vec<u8>) -> Taken<()> {
    let mut at = 0;
    loop {
        let (line, length) = line(&input[at..])?;
        at += length;
        let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit());
        let digits = digits.count();
        let size = hexadecimal(&line[..digits]).ok_or(Reading::Bad)?;
        if !is_chunk_ext(&line[digits..]) {
            return Err(Reading::Bad);
        }
        if size == 0 {
            break;
        }
        let rest = &input[at..];
        content.extend(rest.get(..size).ok_or(Reading::More)?);
        match &rest[size..] {
            [b'\r', b'\n', ..] => at += size + 2,
            [] | [b'\r'] => return Err(Reading::More),
            _ => return Err(Reading::Bad),
        }
    }
    loop {
        let (line, length) = line(&input[at..])?;
        at += length;
        if line.is_empty() {
            return Ok(((), at));
        }
        let (name, _) = field_line(line).ok_or(Reading::Bad)?;
        if is_forbidden_trailer(&name) {
            return Err(Reading::Bad);
        }
    }
}

/// RFC 9110 §6.5.1: what frames, routes, authenticates, controls the request, or tells what the content is.
fn is_forbidden_trailer(name: &[u8]) -> bool {
    let dashed: Vec<u8> = name
        .iter()
        .map(|&octet| if octet == b'_' { b'-' } else { octet })
        .collect();
    let names: [&[u8]; 13] = [
        b"transfer-encoding",
        b"content-length",
        b"trailer",
        b"host",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"expect",
        b"range",
        b"max-forwards",
        b"content-type",
        b"content-encoding",
        b"content-range",
    ];
    names.contains(&dashed.as_slice()) || ends_here(&dashed)
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`.
fn is_chunk_ext(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(rest) = after(b';', text) else {
            return false;
        };
        let Some(rest) = after_token(rest) else {
            return false;
        };
        text = match after(b'=', rest) {
            None => rest,
            Some(value) => match after_token(value).or_else(|| after_quoted(value)) {
                Some(rest) => rest,
                None => return false,
            },
        };
    }
    true
}

/// What follows `BWS mark BWS`.
fn after(mark: u8, text: &[u8]) -> Option<&[u8]> {
    let text = without_bws(text);
    (text.first() == Some(&mark)).then(|| without_bws(&text[1..]))
}

fn without_bws(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|&&octet| is_tchar(octet)).count();
    (length > 0).then(|| &text[length..])
}

fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        };
    }
}
