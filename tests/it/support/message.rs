//! One HTTP message as it was on the wire, read by a reader that is not the gate's.
//!
//! Heads are looked at with `httparse`, chunked bodies are taken apart line by line; the octets are kept as they came,
//! for the tests compare octets.

/// A request or a response, octet for octet.
#[derive(Clone)]
pub(crate) struct Message {
    /// Start-line, field-lines and the empty line.
    pub(crate) head: Vec<u8>,
    /// The body with its transfer coding.
    pub(crate) wire: Vec<u8>,
    /// The body without it.
    pub(crate) content: Vec<u8>,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Message {
    /// Head and body together.
    pub(crate) fn raw(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.wire].concat()
    }

    /// The start-line without its CRLF.
    pub(crate) fn start_line(&self) -> String {
        let line = self.head.split(|&octet| octet == b'\r').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        let line = self.start_line();
        let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in {line:?}"))
    }

    /// Every value of a field, as text.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        all(&self.head, name)
    }

    /// The one value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        assert!(
            values.len() <= 1,
            "{name} stands there more than once: {values:?}"
        );
        values.pop()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.content)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Fails unless this is an answer that every SDK turns into its own typed error.
    #[track_caller]
    pub(crate) fn assert_typed(&self, status: u16, error_type: &str, code: &str) {
        let shown = String::from_utf8_lossy(&self.raw()).into_owned();
        assert_eq!(self.status(), status, "{shown}");
        assert_eq!(
            self.field("x-amzn-errortype").as_deref(),
            Some(error_type),
            "{shown}"
        );
        assert_eq!(
            self.field("x-tollgate-error").as_deref(),
            Some(code),
            "{shown}"
        );
        assert_eq!(
            self.field("content-type").as_deref(),
            Some("application/json"),
            "{shown}"
        );
        let request_id = self.field("x-amzn-requestid").expect(&shown);
        assert_eq!(request_id.len(), 36, "{shown}");
        let message = self.json()["message"].as_str().map(str::len);
        assert!(message.is_some_and(|length| length > 0), "{shown}");
    }

    /// Fails unless this is an answer on the proxy hop: a status and plain text.
    #[track_caller]
    pub(crate) fn assert_plain(&self, status: u16, code: &str) {
        let shown = String::from_utf8_lossy(&self.raw()).into_owned();
        assert_eq!(self.status(), status, "{shown}");
        assert_eq!(
            self.field("x-tollgate-error").as_deref(),
            Some(code),
            "{shown}"
        );
        assert!(
            self.field("content-type")
                .is_some_and(|value| value.starts_with("text/plain")),
            "{shown}"
        );
        assert!(!self.content.is_empty(), "{shown}");
    }
}

/// How long the body behind a request head is.
pub(crate) fn request_framing(head: &[u8]) -> Framing {
    declared(head).unwrap_or(Framing::Length(0))
}

/// How long the body behind a response head is.
pub(crate) fn response_framing(head: &[u8], method: &str) -> Framing {
    let status = status(head);
    if method == "HEAD" || status < 200 || status == 204 || status == 304 {
        return Framing::Length(0);
    }
    declared(head).unwrap_or(Framing::UntilClose)
}

/// The status in a response head.
pub(crate) fn status(head: &[u8]) -> u16 {
    let message = Message {
        head: head.to_vec(),
        wire: Vec::new(),
        content: Vec::new(),
    };
    message.status()
}

fn declared(head: &[u8]) -> Option<Framing> {
    if let Some(coding) = all(head, "transfer-encoding").first() {
        assert_eq!(coding.to_ascii_lowercase(), "chunked");
        return Some(Framing::Chunked);
    }
    let length = all(head, "content-length")
        .first()?
        .parse()
        .expect("Content-Length is a number");
    Some(Framing::Length(length))
}

fn all(head: &[u8], name: &str) -> Vec<String> {
    let mut lines = [httparse::EMPTY_HEADER; 160];
    let body = head
        .iter()
        .position(|&octet| octet == b'\n')
        .map_or(0, |at| at + 1);
    let (_, fields) = httparse::parse_headers(&head[body..], &mut lines)
        .expect("field-lines")
        .unwrap();
    let found = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name));
    found
        .map(|field| String::from_utf8_lossy(field.value).into_owned())
        .collect()
}
